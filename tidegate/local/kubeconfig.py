"""The file by which `kubectl` and other clients find the API of `tidegate up`."""

from __future__ import annotations

from pathlib import Path

import yaml

_NAME = "tidegate"


def write(state_dir: Path, api: str) -> Path:
    """No credentials: the API listens on loopback only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [{"name": _NAME, "cluster": {"server": api}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
        "users": [{"name": _NAME, "user": {}}],
    }
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir.resolve() / "kubeconfig"
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return path
