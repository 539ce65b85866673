#!/usr/bin/env bash
# Sets up, builds everything and runs all tests. Arguments go on to ctest: `bash tools/test.sh -R Encoder`,
# `bash tools/test.sh -LE slow`. The exit status is ctest's.
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
bash "$root/tools/setup.sh"
export INTERPLAY_WERROR=ON
step "building everything in ${build#"$root"/}" build_targets
step "running the tests" ctest --test-dir "$build" --output-on-failure --progress -j "$(nproc)" "$@"
