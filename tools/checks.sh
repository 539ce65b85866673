#!/usr/bin/env bash
# clang on what changed: whether it compiles the sources, and clang-tidy on the changed lines. What changed is all since
# INTERPLAY_BASE, by default since the last commit that this branch shares with the main one, or else since the commit
# before; in a clone without history nothing is looked at.
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
cd "$root"

base() {
  local main
  if [ -n "${INTERPLAY_BASE:-}" ]; then echo "$INTERPLAY_BASE"; return; fi
  for main in origin/HEAD origin/main main; do
    main=$(git merge-base HEAD "$main" 2>/dev/null) || continue
    [ "$main" = "$(git rev-parse HEAD)" ] || { echo "$main"; return; }
  done
  git rev-parse --verify -q HEAD~1
}

since=$(base) || { say "clang: no history to tell what changed"; exit 0; }
command -v clang-tidy >/dev/null || { say "clang-tidy is not installed: what changed is not looked at"; exit 0; }
# The tests' own sources lean on GoogleTest's macros, which no check suits.
mapfile -t changed < <(git diff --name-only --diff-filter=d "$since" -- 'src/*.cpp' 'models/*.cpp' 'tools/*.cpp')
[ ${#changed[@]} -gt 0 ] || { say "clang: no source changed since ${since:0:9}"; exit 0; }
if [ ${#changed[@]} -gt 12 ]; then  # one takes 20 s of one core
  say "clang: ${#changed[@]} sources changed since ${since:0:9}; the 12 with the most changed lines are looked at"
  mapfile -t changed < <(git diff --numstat --diff-filter=d "$since" -- "${changed[@]}" | sort -rn | head -12 | cut -f 3)
fi

# A database of the files by themselves, not of the units that are built, and without the headers that GCC precompiled:
# clang cannot read those. clang-tidy compiles what it looks at, so that this is the second compiler's check of the
# syntax too: its errors are reported wherever they are.
database=$build/clang
cmake -G Ninja -S "$root" -B "$database" -DCMAKE_BUILD_TYPE=Release -DINTERPLAY_UNITY=OFF -DINTERPLAY_TESTS=OFF \
  --log-level=WARNING >/dev/null
lines=$(python3 "$root/tools/changed_lines.py" "$database/compile_commands.json" "$since" "${changed[@]}")
check() {
  printf '%s\n' "${changed[@]}" | xargs -P "$(build_jobs)" -I{} \
    clang-tidy -p "$database" --quiet --line-filter="$lines" {} 2>&1 |
    { grep -v -E '^[0-9]+ warnings? (generated|treated)|^Suppressed|^$|^Use -header-filter' || true; }
  return "${PIPESTATUS[1]}"
}
step "clang-tidy on what changed since ${since:0:9} in ${#changed[@]} sources" check
