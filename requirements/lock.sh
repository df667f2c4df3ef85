#!/usr/bin/env bash
# Writes constraints.txt (every package of every extra, with hashes) and its subsets in requirements/: one each for the
# demo, the documentation, and the images. All Pythons and platforms get the same version of a package, so that a model is the
# same to the byte wherever it is trained.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${BIN:-.venv/bin}/uv

lock() { # lock FILE EXTRA... [-- OPTION...]
  local file=$1 extras=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do extras+=(--extra "$1"); shift; done
  [ $# -eq 0 ] || shift
  "$uv" pip compile pyproject.toml "${extras[@]}" "$@" --output-file "$file" --quiet --universal --fork-strategy fewest --python-version 3.11 \
    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
}

lock constraints.txt dev -- "$@"
part=(--constraints constraints.txt)
lock requirements/demo.txt workbench train build -- "${part[@]}"
lock requirements/docs.txt docs build -- "${part[@]}"
# Model functions call the XGBoost library inside the wheel directly: without numpy and scipy, an image is 200 MB
# smaller.
lock requirements/model.txt model -- "${part[@]}" --no-emit-package numpy --no-emit-package scipy
# The stream worker's image reads values of a schema registry.
lock requirements/stream.txt stream registry -- "${part[@]}"
for extra in router fast batch rollout sync auth engines; do lock "requirements/$extra.txt" "$extra" -- "${part[@]}"; done
