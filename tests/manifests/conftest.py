"""The manifests as built by kustomize."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate import kustomize

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
Build = Callable[..., Objects]
# The ConfigMaps that an overlay generates from a file.
FILES = {
    "flights-card": ("model.yaml", "name: flights\n"),
    "streams": ("streams.yaml", "streams:\n  - {input: cargo.departed, output: cargo.scored, sink: /models/flights}\n"),
}


def by_name(rendered: str) -> Objects:
    """Objects by kind and name; `Service` is Knative's, since the manifests have none of Kubernetes."""
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(rendered)}


@pytest.fixture(scope="session")
def strictly(kubectl: Callable[..., str]) -> Iterator[Callable[[list[Object]], list[str]]]:
    """Validates objects by a dry run on an API server, in a new namespace; returns the names of the accepted ones."""
    namespace = f"tidegate-manifests-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)

    def taken(objects: list[Object]) -> list[str]:
        placed = [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in objects if item["kind"] != "Namespace"]
        accounts = [item for item in placed if item["kind"] == "ServiceAccount"]
        # Knative's webhook tries a pod, and a pod's account has to be there.
        if accounts:
            kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(accounts))
        answer = kubectl("apply", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-", stdin=yaml.safe_dump_all(placed))
        return answer.splitlines()

    yield taken
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Renders `base` (a folder below manifests/) with components, and with the ConfigMaps of values that their READMEs ask for."""
    if not (shutil.which("kubectl") or shutil.which("kustomize")):
        pytest.skip("kubectl is not on the PATH: install it.")
    manifests = Path(os.path.relpath(ROOT / "manifests", tmp_path))

    def render(*components: str, base: str = "base", values: dict[str, dict[str, str]] | None = None, files: Sequence[str] = ()) -> Objects:
        resources = [str(manifests / base)]
        for name, data in (values or {}).items():
            metadata = {"name": name, "annotations": {"config.kubernetes.io/local-config": "true"}}
            item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(item))
            resources.append(f"{name}.yaml")
        content: Object = {"resources": resources, "components": [str(manifests / "components" / name) for name in components]}
        for name in files:
            file, text = FILES[name]
            (tmp_path / file).write_text(text)
            content.setdefault("configMapGenerator", []).append({"name": name, "files": [file]})
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return by_name(kustomize.build(tmp_path))

    return render
