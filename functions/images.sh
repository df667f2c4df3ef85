#!/usr/bin/env bash
# images.sh: builds the image of each function as $REGISTRY/NAME:$TAG, and pushes it unless PUSH=false. Trains models
# that are not trained yet.
#   BUILDER  docker (default) or buildah
#   BASE     the base image; default: the one in functions/Dockerfile
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${REGISTRY:-}" ] || [ -z "${TAG:-}" ]; then
  echo "images.sh needs REGISTRY and TAG, for example: make images REGISTRY=localhost:5000 TAG=1" >&2
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
