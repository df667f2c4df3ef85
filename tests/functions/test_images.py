"""The scripts of functions/ that build images and pin their base, with builders that record their arguments."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >>"{log}"
{body}
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], None]:
    """Make a program that comes first in PATH and records its arguments."""

    def make(name: str, body: str = "") -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(PROGRAM.format(log=tmp_path / "log", body=body))
        path.chmod(0o755)

    return make


@pytest.fixture
def script(tmp_path: Path) -> Run:
    def run(name: str, *arguments: str, folder: Path = ROOT, path: str = os.environ["PATH"], **environ: str) -> Any:
        sent = {"PATH": f"{tmp_path / 'bin'}:{path}", **environ}
        return subprocess.run(
            [folder / "functions" / name, *arguments], cwd=tmp_path, env=sent, capture_output=True, text=True, check=False
        )

    return run


def recorded(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def skaffold() -> dict[str, dict[str, str]]:
    """The build arguments in skaffold.yaml, by image."""
    artifacts = yaml.safe_load((ROOT / "skaffold.yaml").read_text())["build"]["artifacts"]
    return {artifact["image"]: artifact["docker"]["buildArgs"] for artifact in artifacts}


@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_every_image_that_skaffold_builds_is_built_and_pushed(
    program: Callable[..., None], script: Run, tmp_path: Path, flights_models: Path, builder: str
) -> None:
    program(builder)
    done = script("images.sh", REGISTRY="localhost:5000", TAG="7", BUILDER=builder)
    assert done.returncode == 0, done.stderr
    built: dict[str, dict[str, str]] = {}
    for line in recorded(tmp_path):
        if " build " in line:
            image = re.search(r"-t localhost:5000/(\w+):7", line)
            assert image is not None
            arguments = dict(pair.split("=") for pair in re.findall(r"--build-arg (\S+)", line))
            built[image[1]] = {name: value for name, value in arguments.items() if not (name == "EXTRA" and value == image[1])}
    assert built == skaffold()
    pushed = {line.rpartition("/")[2] for line in recorded(tmp_path) if " push " in line}
    assert pushed == {f"{name}:7" for name in built}


def test_images_are_not_pushed_where_they_are_loaded(
    program: Callable[..., None], script: Run, tmp_path: Path, flights_models: Path
) -> None:
    program("docker")
    assert script("images.sh", REGISTRY="kind.local", TAG="1", PUSH="false").returncode == 0
    assert not [line for line in recorded(tmp_path) if " push " in line]


def test_a_registry_must_be_named(script: Run) -> None:
    done = script("images.sh")
    assert (done.returncode, "make images REGISTRY=localhost:5000 TAG=1" in done.stderr) == (2, True)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A checkout with only the Dockerfile and the scripts."""
    folder = tmp_path / "checkout"
    (folder / "functions").mkdir(parents=True)
    for name in ("Dockerfile", "pin-base.sh"):
        shutil.copy(ROOT / "functions" / name, folder / "functions" / name)
    return folder


def base_of(checkout: Path) -> list[str]:
    return re.findall(r"^ARG BASE=(.*)$", (checkout / "functions/Dockerfile").read_text(), re.MULTILINE)


def test_a_base_is_pinned_by_the_digest_of_its_index_and_pinned_again(
    program: Callable[..., None], script: Run, tmp_path: Path, recipe: Path
) -> None:
    (tag,) = base_of(recipe)
    for index in ('{"manifests": []}', '{"manifests": [1]}\n'):
        (tmp_path / "index").write_text(index)
        program("skopeo", f'cat "{tmp_path / "index"}"')
        done = script("pin-base.sh", folder=recipe)
        assert done.returncode == 0, done.stderr
        digest = hashlib.sha256(index.encode()).hexdigest()
        assert base_of(recipe) == [f"{tag.partition('@')[0]}@sha256:{digest}"] == done.stdout.split()
    assert recorded(tmp_path) == [f"skopeo inspect --raw docker://{tag.partition('@')[0]}"] * 2


def test_a_registry_without_a_digest_changes_nothing(program: Callable[..., None], script: Run, recipe: Path) -> None:
    before = (recipe / "functions/Dockerfile").read_text()
    program("skopeo", "echo 'unauthorized' >&2; exit 1")
    assert script("pin-base.sh", folder=recipe).returncode != 0
    assert (recipe / "functions/Dockerfile").read_text() == before


def test_all_stages_are_built_on_one_base() -> None:
    """One line pins all of it: no stage names another image."""
    recipe = (ROOT / "functions/Dockerfile").read_text()
    stages = {name for _, name in re.findall(r"^FROM (\S+) AS (\S+)$", recipe, re.MULTILINE)}
    assert {source for source, _ in re.findall(r"^FROM (\S+) AS (\S+)$", recipe, re.MULTILINE)} - stages == {"${BASE}"}
    (base,) = base_of(ROOT)
    assert re.fullmatch(r"[\w./:-]+:[\w.-]+(@sha256:[0-9a-f]{64})?", base)
