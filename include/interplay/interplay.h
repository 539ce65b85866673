#pragma once

/// Everything a program needs that prepares, trains, searches, evaluates and scores.
#include <interplay/core/bundle.h>
#include <interplay/core/plugin.h>
#include <interplay/data/prepare.h>
#include <interplay/search/search.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>
#include <interplay/train/trainer.h>
