"""The kubeconfig and the token file, by which clients and child processes use the API of `tidegate up`."""

from __future__ import annotations

from pathlib import Path

import yaml

from tidegate.local.apiserver import access
from tidegate.local.apiserver.private import write_private

_NAME = "tidegate"
_TOKEN_FILE = "token"  # noqa: S105 the name of a file


def write(state_dir: Path, api: str, token: str) -> Path:
    """Write the kubeconfig, readable by its owner only.

    It has the token twice: most clients send that of the user; kubectl does so over TLS only and sends that of the URL
    instead.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [{"name": _NAME, "cluster": {"server": api.replace("://", f"://{access.USER}:{token}@", 1)}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
        "users": [{"name": _NAME, "user": {"token": token}}],
    }
    return write_private(state_dir.resolve() / "kubeconfig", yaml.safe_dump(config, sort_keys=False))


def write_token(state_dir: Path, token: str) -> Path:
    """Write the file with the token only, as that of a service account."""
    return write_private(state_dir.resolve() / _TOKEN_FILE, token)
