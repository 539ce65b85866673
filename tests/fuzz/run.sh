#!/usr/bin/env bash
# run.sh SECONDS BUILD_DIR: fuzzes each parser of what strangers send for so long, under the address and undefined-behaviour
# sanitizers. What is found lies in BUILD_DIR/fuzz/TARGET. Needs clang with libFuzzer (Debian: clang libclang-rt-14-dev).
# More processors: `JOBS=2`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=$1 build=$2/fuzz
mkdir -p "$build"
# RapidJSON adds to a null pointer where its stack is empty, and uses nothing of it.
flags=(-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fno-sanitize=pointer-overflow
  -I"$root/src" -I"$root/include" -I"$2/include")
for source in "$here"/*.cpp; do
  target=$(basename "$source" .cpp)
  parsers=("$root"/src/base/{json_tape,error,printable}.cpp)
  [[ $target == request_* ]] && parsers+=("$root"/src/server/{request_cells,request_v2}.cpp)
  clang++ "${flags[@]}" "$source" "${parsers[@]}" -lfmt -o "$build/$target"
  rm -rf "$build/$target.found"
  mkdir -p "$build/$target.corpus" "$build/$target.found"
  (cd "$build" && "./$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -jobs="${JOBS:-1}" \
    -workers="${JOBS:-1}" -print_final_stats=1 -artifact_prefix="$target.found/" "$target.corpus" "$here/corpus/$target")
  found=$(find "$build/$target.found" -type f | wc -l)
  runs=$(cat "$build"/fuzz-*.log 2>/dev/null | sed -n 's/stat::number_of_executed_units: *//p' | paste -sd+ | bc)
  rm -f "$build"/fuzz-*.log
  echo "$target: $seconds s, $runs inputs, $found found"
  [ "$found" -eq 0 ]
done
