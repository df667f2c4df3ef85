#!/usr/bin/env bash
# build.sh FUNCTION EXTRA: skaffold's custom builder for machines with buildah and without a Docker daemon. Builds $IMAGE
# and pushes it if $PUSH_IMAGE is true. Twice the same input gives twice the same digest: no time is written into an image.
#   BUILDER  buildah (unless named), or docker
#   BASE     the image to build on; by default what functions/Dockerfile names
#   TARGET   the stage of the Dockerfile (function; dev for file sync)
# What buildah itself reads works, too: STORAGE_DRIVER, BUILDAH_ISOLATION, REGISTRY_AUTH_FILE.
set -euo pipefail
if [ -z "${IMAGE:-}" ] || [ $# -lt 2 ]; then
  echo "build.sh needs IMAGE, FUNCTION and EXTRA, as in: IMAGE=localhost:5000/flights:1 functions/build.sh flights model" >&2
  exit 2
fi
cd "${BUILD_CONTEXT:-.}"
arguments=(--target "${TARGET:-function}" -f functions/Dockerfile ${BASE:+--build-arg "BASE=$BASE"}
  --build-arg "FUNCTION=$1" --build-arg "EXTRA=$2" -t "$IMAGE" .)
tls=()
case "${BUILDER:-buildah}" in
  buildah)
    buildah build --quiet --layers --timestamp 0 "${arguments[@]}"
    # A registry on this machine has no certificate.
    case "$IMAGE" in localhost:* | 127.0.0.1:*) tls=(--tls-verify=false) ;; esac ;;
  docker) docker build --quiet "${arguments[@]}" ;;
  *)
    echo "BUILDER is $BUILDER; name docker or buildah" >&2
    exit 2 ;;
esac
if [ "${PUSH_IMAGE:-false}" = true ]; then
  "${BUILDER:-buildah}" push --quiet "${tls[@]}" "$IMAGE"
fi
