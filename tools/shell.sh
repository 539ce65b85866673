# shellcheck shell=bash
# What setup.sh, quickstart.sh and test.sh share. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${INTERPLAY_BUILD:-$root/build}

say() { printf '== %s\n' "$*"; }
stop() {  # stop STATUS MESSAGE...
  local status=$1
  shift
  printf 'stopped: %s\n' "$*" >&2
  exit "$status"
}

# step "what happens" command...: says what happens, runs it, says how long it took. A failure ends the script with the
# command's status. (No `"$@" || ...` here: it would switch off `set -e` inside the command.)
step() {
  local begun=$SECONDS
  running=$1
  shift
  say "$running"
  "$@"
  say "$running: done in $((SECONDS - begun)) s"
  running=
}
running=
trap '[ -z "$running" ] || printf "failed: %s\n" "$running" >&2' EXIT

# download_wheels FOLDER REQUIREMENT...: the wheels of CPython 3.11, whatever Python runs pip, without what they depend
# on. One call for all of them.
download_wheels() {
  local folder=$1 glibc platforms=(--platform manylinux2014_x86_64)
  shift
  for glibc in {17..28}; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip download --quiet --no-input --no-deps --dest "$folder" \
    --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 "${platforms[@]}" "$@"
}

# A source that touches LibTorch takes up to 2 GB to compile.
build_jobs() {
  local cores gigabytes
  cores=$(nproc)
  gigabytes=$(awk '/MemAvailable/ {print int($2 / 1048576 / 2)}' /proc/meminfo)
  echo $((gigabytes < 1 ? 1 : gigabytes < cores ? gigabytes : cores))
}

# build_targets TARGET...: the Release build in build/. INTERPLAY_WERROR=ON in the environment: warnings are errors.
build_targets() {
  cmake -G Ninja -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DINTERPLAY_SANITIZE=OFF \
    -DINTERPLAY_WERROR="${INTERPLAY_WERROR:-OFF}" --log-level=WARNING >/dev/null
  ninja -C "$build" -j "$(build_jobs)" "$@"
}
