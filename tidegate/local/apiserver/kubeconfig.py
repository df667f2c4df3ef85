"""The files by which `kubectl`, other clients and our own processes find the API of `tidegate up` and are let in."""

from __future__ import annotations

from pathlib import Path

import yaml

from tidegate.local.apiserver import access
from tidegate.local.apiserver.private import write_private

_NAME = "tidegate"
_TOKEN_FILE = "token"  # noqa: S105 the name of a file


def write(state_dir: Path, api: str, token: str) -> Path:
    """The kubeconfig, readable by its owner alone.

    The token is in it twice: most clients send that of the user, kubectl does so over TLS only and sends that of the URL instead.
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
    """The token alone, as a service account has it in a file."""
    return write_private(state_dir.resolve() / _TOKEN_FILE, token)
