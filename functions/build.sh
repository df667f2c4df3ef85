#!/usr/bin/env bash
# build.sh FUNCTION EXTRA: Skaffold's custom builder for machines with buildah and without a Docker daemon. Builds
# $IMAGE and pushes it if $PUSH_IMAGE is true. Builds are reproducible: no time is written into an image.
#   BUILDER  buildah (default) or docker
#   BASE     the base image; default: the one in functions/Dockerfile
#   TARGET   the stage of the Dockerfile (function; dev for file sync)
# buildah's own variables work too: STORAGE_DRIVER, BUILDAH_ISOLATION, REGISTRY_AUTH_FILE.
set -euo pipefail
if [ -z "${IMAGE:-}" ] || [ $# -lt 2 ]; then
  echo "build.sh needs IMAGE, FUNCTION and EXTRA, for example: IMAGE=localhost:5000/flights:1 functions/build.sh flights model" >&2
  exit 2
fi
cd "${BUILD_CONTEXT:-.}"
arguments=(--target "${TARGET:-function}" -f functions/Dockerfile ${BASE:+--build-arg "BASE=$BASE"}
  --build-arg "FUNCTION=$1" --build-arg "EXTRA=$2" -t "$IMAGE" .)
tls=()
case "${BUILDER:-buildah}" in
  buildah)
    buildah build --quiet --layers --timestamp 0 "${arguments[@]}"
    # A registry on this machine has no TLS certificate.
    case "$IMAGE" in localhost:* | 127.0.0.1:*) tls=(--tls-verify=false) ;; esac ;;
  docker) docker build --quiet "${arguments[@]}" ;;
  *)
    echo "unsupported BUILDER $BUILDER; set docker or buildah" >&2
    exit 2 ;;
esac
if [ "${PUSH_IMAGE:-false}" = true ]; then
  "${BUILDER:-buildah}" push --quiet "${tls[@]}" "$IMAGE"
fi
