#!/usr/bin/env bash
# Interplay beside other programs on this machine: sets the peers up in DIR (Python with PyTorch, DeepCTR-Torch and
# xLearn; FBGEMM with the PyTorch it matches; about 12 GB), makes Criteo-like data there, and prints the table of
# tools/bench/bench_peers.py, to which all other arguments go: `bash tools/bench_peers.sh /tmp/peers --only fm,deepfm`.
# Run again, it sets up nothing twice. The table takes about 40 minutes on two cores; nothing else should run.
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
[ $# -ge 1 ] && [[ $1 != -* ]] || stop 2 "usage: bench_peers.sh DIR [ARGUMENTS OF bench_peers.py]"
mkdir -p "$1"
directory=$(cd "$1" && pwd)
shift

peers=(torch==2.15.0 deepctr-torch==0.3.0 requests xlearn==0.40a1 scikit-learn numpy pyarrow==26.0.1 pyyaml setuptools)
fbgemm=(torch==2.14.1 fbgemm-gpu-cpu==1.9.0 numpy pyyaml)  # FBGEMM 1.N goes with PyTorch 2.(N + 5)

# Whole or absent: an environment that was cut short is made anew.
environment() {  # environment NAME REQUIREMENT...
  local path=$directory/$1
  shift
  rm -rf "$path"
  python3 -m venv "$path"
  PIP_DISABLE_PIP_VERSION_CHECK=1 "$path/bin/pip" install --quiet --no-input "$@" && touch "$path/complete"
}

[ -x "$build/bin/interplay" ] || step "building the program" build_targets interplay_tool
[ -e "$directory/peers/complete" ] || step "fetching the peers (6 GB)" environment peers "${peers[@]}"
if [ ! -e "$directory/fbgemm/complete" ] && [ ! -e "$directory/fbgemm-refused" ]; then
  say "fetching FBGEMM (6 GB)"
  environment fbgemm "${fbgemm[@]}" || touch "$directory/fbgemm-refused"  # its row then says so
fi
exec env USER="${USER:-peer}" "$directory/peers/bin/python" "$root/tools/bench/bench_peers.py" "$directory" \
  --interplay "$build/bin/interplay" "$@"
