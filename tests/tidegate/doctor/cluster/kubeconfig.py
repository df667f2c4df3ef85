"""A kubeconfig with two contexts, for tests."""

from __future__ import annotations

from pathlib import Path

import yaml


def kubeconfig(tmp_path: Path, url: str, namespace: str | None = None) -> Path:
    place = {"cluster": "it", "user": "me", **({"namespace": namespace} if namespace else {})}
    other = {"cluster": "it", "user": "me", "namespace": "elsewhere"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "contexts": [{"name": "here", "context": place}, {"name": "there", "context": other}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file
