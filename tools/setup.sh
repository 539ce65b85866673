#!/usr/bin/env bash
# Installs what Interplay is built from, on Debian 12 with git, Python 3 and pip: the missing Debian packages, and
# LibTorch and Arrow, which come as Python wheels and are unpacked into .deps/python. Run again, it does nothing.
# Exit 2: Debian packages are missing and may not be installed (neither root nor sudo); they are named.
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

packages=(g++ cmake ninja-build ccache libfmt-dev libspdlog-dev libyaml-cpp-dev libcli11-dev nlohmann-json3-dev
  libeigen3-dev libboost1.81-dev rapidjson-dev libicu-dev libxxhash-dev libstemmer-dev libgtest-dev libgmock-dev libbenchmark-dev clang-format)
# LibTorch's CPU library does not load without the two small CUDA ones.
wheels=(torch==2.15.0 'nvidia-cuda-runtime==13.2.*' 'nvidia-cuda-cupti==13.2.*' pyarrow==26.0.1)
wheel_files=(torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libgomp.so.1 torch/include/ATen/ATen.h
  torch/include/torch/csrc/api/include/torch/nn.h nvidia/cu13/lib/libcudart.so.13 nvidia/cu13/lib/libcupti.so.13
  pyarrow/libarrow.so.2600 pyarrow/libarrow_compute.so.2600 pyarrow/libarrow_acero.so.2600
  pyarrow/libarrow_dataset.so.2600 pyarrow/libparquet.so.2600 pyarrow/include/arrow/api.h)
deps=$root/.deps/python

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}

install_packages() {  # install_packages AS_ROOT... -- PACKAGE...
  local as_root=()
  while [ "$1" != -- ]; do as_root+=("$1"); shift; done
  shift
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@" >/dev/null
}

setup_packages() {
  command -v dpkg-query >/dev/null || {
    say "this is not Debian: please see yourself that there are ${packages[*]}"
    return
  }
  local missing as_root=()
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || { say "Debian packages: all there"; return; }
  if [ "$(id -u)" -ne 0 ]; then
    # Asking for a password makes sense only where somebody can type one.
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
      as_root=(sudo)
    else
      stop 2 "these Debian packages are missing, and installing them takes root or sudo:
  apt-get install ${missing[*]}"
    fi
  fi
  step "installing ${#missing[@]} Debian packages: ${missing[*]}" install_packages "${as_root[@]}" -- "${missing[@]}"
}

wheels_missing() {  # wheels_missing FOLDER: prints what is not there
  local wheel file
  for wheel in "${wheels[@]}"; do
    local name=${wheel%%==*} version=${wheel##*==}
    compgen -G "$1/${name//-/_}-$version.dist-info" >/dev/null || echo "$wheel"
  done
  for file in "${wheel_files[@]}"; do
    [ -e "$1/$file" ] || echo "$file"
  done
}

unpack_wheels() {
  local aside=$deps.partial downloads=$root/.deps/wheels.partial wheel
  rm -rf "$aside" "$downloads"
  mkdir -p "$aside" "$downloads"
  download_wheels "$downloads" "${wheels[@]}"
  for wheel in "$downloads"/*.whl; do
    python3 -m zipfile -e "$wheel" "$aside"
    rm "$wheel"
  done
  rm -r "$downloads"
  local missing
  missing=$(wheels_missing "$aside")
  [ -z "$missing" ] || stop 1 "the wheels lack ${missing//$'\n'/, }"
  # Whole or absent: a set-up that is killed half-way leaves nothing that looks finished.
  rm -rf "$deps"
  mv "$aside" "$deps"
}

setup_wheels() {
  [ "$(uname -sm)" = "Linux x86_64" ] || stop 2 "the wheels are for Linux on x86_64, this is $(uname -sm);
  build LibTorch and Arrow and pass -DTorch_DIR=... -DArrow_ROOT=... to cmake"
  [ -n "$(wheels_missing "$deps")" ] || { say "LibTorch and Arrow: all there"; return; }
  step "fetching LibTorch and Arrow into .deps (1.1 GB to load, 1.4 GB unpacked)" unpack_wheels
}

setup_packages
setup_wheels
