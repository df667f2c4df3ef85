#!/usr/bin/env bash
# pin-base.sh [IMAGE]: writes the current digest of a base image in its registry into functions/Dockerfile:
#   ARG BASE=python:3.11-slim@sha256:…
# IMAGE defaults to the one in the Dockerfile. The digest is that of the index of all platforms, requested by skopeo,
# crane or docker.
set -euo pipefail
cd "$(dirname "$0")/.."
file=functions/Dockerfile
named=${1:-$(sed -n 's/^ARG BASE=//p' "$file")}
image=${named%%@*}
# A registry on this machine has no TLS certificate.
skopeo=() crane=()
case "$image" in localhost:* | 127.0.0.1:*) skopeo=(--tls-verify=false) crane=(--insecure) ;; esac
if command -v skopeo >/dev/null; then
  # The digest of the exact bytes: a variable would drop trailing newlines.
  digest=sha256:$(skopeo inspect --raw "${skopeo[@]}" "docker://$image" | sha256sum | cut -d' ' -f1)
elif command -v crane >/dev/null; then
  digest=$(crane digest "${crane[@]}" "$image")
elif command -v docker >/dev/null; then
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
else
  echo "pin-base.sh needs skopeo, crane or docker on the PATH: install one of them." >&2
  exit 1
fi
if ! printf %s "$digest" | grep -Eqx 'sha256:[0-9a-f]{64}'; then
  echo "unexpected response from the registry of $image instead of a digest: $digest" >&2
  exit 1
fi
sed -i "s|^ARG BASE=.*|ARG BASE=$image@$digest|" "$file"
echo "$image@$digest"
