#!/usr/bin/env bash
# pin-base.sh [IMAGE]: writes the digest that a base image has in its registry now into functions/Dockerfile, as in
#   ARG BASE=python:3.11-slim@sha256:…
# IMAGE is what the Dockerfile names unless it is given. The digest is that of the index of all platforms. skopeo, crane or docker asks for it.
set -euo pipefail
cd "$(dirname "$0")/.."
file=functions/Dockerfile
named=${1:-$(sed -n 's/^ARG BASE=//p' "$file")}
image=${named%%@*}
# A registry on this machine has no certificate.
skopeo=() crane=()
case "$image" in localhost:* | 127.0.0.1:*) skopeo=(--tls-verify=false) crane=(--insecure) ;; esac
if command -v skopeo >/dev/null; then
  # The digest is that of the bytes, which a variable would not keep to the last of them.
  digest=sha256:$(skopeo inspect --raw "${skopeo[@]}" "docker://$image" | sha256sum | cut -d' ' -f1)
elif command -v crane >/dev/null; then
  digest=$(crane digest "${crane[@]}" "$image")
elif command -v docker >/dev/null; then
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
else
  echo "pin-base.sh asks for the digest by skopeo, crane or docker, and none of them is on the PATH: install one." >&2
  exit 1
fi
if ! printf %s "$digest" | grep -Eqx 'sha256:[0-9a-f]{64}'; then
  echo "the registry of $image gave no digest, but: $digest" >&2
  exit 1
fi
sed -i "s|^ARG BASE=.*|ARG BASE=$image@$digest|" "$file"
echo "$image@$digest"
