"""The commands in `First deployment` of docs/kubernetes.md, from a clone to a score."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/kubernetes.md"
SECTION = "First deployment"
IMAGES = "images:\n"


def commands() -> str:
    section = PAGE.read_text("utf-8").split(f"\n## {SECTION}\n", 1)[1].split("\n## ", 1)[0]
    return "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def replaced(text: str, before: str, after: str) -> str:
    assert before in text, f"{PAGE.name} has no {before!r} any more"
    return text.replace(before, after)


def for_this_cluster(text: str, namespace: str) -> str:
    """The commands for another cluster than kind: its registry, and the image of Kafka that the environment names."""
    registry = os.environ.get("E2E_REGISTRY")
    if registry is None:
        pytest.skip("E2E_REGISTRY is not set: name the registry that the cluster pulls from, or kind.local.")
    if registry != "kind.local":
        text = replaced(text, "REGISTRY=kind.local", f"REGISTRY={registry}")
        text = replaced(text, "make images PUSH=false", "make images")
        text, loads = re.subn(r"^kind load .*\n", "", text, flags=re.MULTILINE)
        assert loads == 1
    if kafka := os.environ.get("E2E_KAFKA_IMAGE"):
        name, _, tag = kafka.rpartition(":")
        text = replaced(text, IMAGES, f'{IMAGES}  - {{ name: apache/kafka, newName: {name}, newTag: "{tag}" }}\n')
    text = replaced(text, "namespace models", f"namespace {namespace}")
    text = replaced(text, "namespace: models", f"namespace: {namespace}")
    return replaced(text, "-n models", f"-n {namespace}")


def checkout(folder: Path, models: Path) -> Path:
    """A clone with trained models."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(models, folder / "functions/flights/models")
    return folder


def test_commands_of_the_page_end_with_a_score(kubectl: Callable[..., str], tmp_path: Path, flights_models: Path, run: str) -> None:
    namespace = f"tidegate-{run}-page"
    text = for_this_cluster(commands(), namespace)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = replaced(replaced(text, "8080:80", f"{port}:80"), "localhost:8080", f"localhost:{port}")
    script = f"set -e -m -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{text}"
    builder = {name: os.environ[f"E2E_{name}"] for name in ("BUILDER", "BASE") if f"E2E_{name}" in os.environ}
    environ = {**os.environ, **builder, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    folder = checkout(tmp_path, flights_models)
    try:
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=1_200, check=False)
    finally:
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"name":"flights"' in done.stdout.replace(" ", "")
    assert "dev.tidegate.inference.completed" in done.stdout
