#pragma once

/// Everything a model's author needs.
#include <ATen/ATen.h>

#include <interplay/core/field_embedding.h>
#include <interplay/core/field_linear.h>
#include <interplay/core/interactions.h>
#include <interplay/core/model.h>
#include <interplay/core/represents.h>
#include <interplay/core/retriever.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/cross.h>
#include <interplay/nn/experts.h>
#include <interplay/nn/ffm.h>
#include <interplay/nn/fm.h>
#include <interplay/nn/interactions.h>
#include <interplay/nn/mlp.h>
