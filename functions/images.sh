#!/usr/bin/env bash
# images.sh: builds the image of each function as $REGISTRY/NAME:$TAG, and pushes them unless PUSH=false. A model that is not trained is trained.
#   BUILDER  docker (unless named), or buildah
#   BASE     the image to build on; by default what functions/Dockerfile names
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${REGISTRY:-}" ] || [ -z "${TAG:-}" ]; then
  echo "images.sh needs REGISTRY and TAG, as in: make images REGISTRY=localhost:5000 TAG=1" >&2
  exit 2
fi

for folder in functions/*/; do
  name=$(basename "$folder")
  [ -e "$folder/__main__.py" ] || continue
  extra=model
  [ ! -e "requirements/$name.txt" ] || extra=$name
  [ "$extra" != model ] || [ -d "$folder/models" ] || make train FUNCTION="$name"
  echo "$REGISTRY/$name:$TAG"
  IMAGE=$REGISTRY/$name:$TAG PUSH_IMAGE=${PUSH:-true} BUILDER=${BUILDER:-docker} functions/build.sh "$name" "$extra"
done
