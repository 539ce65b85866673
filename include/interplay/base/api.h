#pragma once

/// Marks what the shared library exports; everything else stays hidden.
#define INTERPLAY_API __attribute__((visibility("default")))
