"""Rules for the whole repository: pinned packages, and no registry or home folder in a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PARTS = sorted((ROOT / "requirements").glob("*.txt"))
# Packages come from wherever the reader's own clients are set up to look.
REGISTRIES = re.compile(r"pypi\.org|python[h]osted|proxy\.golang\.org|registry\.npmjs|repo1\.maven")
# Engines that only the tests of frames need: too large for everything.
ENGINES = ROOT / "requirements/engines.txt"
HOMES = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work)/")


def _pins(path: Path) -> dict[str, str]:
    """The pins of a file, with markers and hashes, by the package's name."""
    blocks = re.split(r"\n(?=\S)", path.read_text().strip())
    return {block.partition("==")[0]: block for block in blocks}


def _exactly(pin: str) -> tuple[str, set[str]]:
    """The version and the hashes of a pin."""
    return pin.split()[0], {word for word in pin.split() if word.startswith("--hash=")}


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [Requirement(text) for text in (*project["dependencies"], *(text for extra in extras for text in extra))]
    return [requirement for requirement in declared if requirement.name != project["name"]]


def test_every_package_is_pinned_with_hashes() -> None:
    pins = {**_pins(ENGINES), **_pins(ROOT / "constraints.txt")}
    for requirement in _declared():
        pin = pins[requirement.name.lower()]
        version = pin.partition("==")[2].split()[0]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}: run `make lock`"
    assert all("--hash=sha256:" in pin for pin in pins.values())


@pytest.mark.parametrize("part", PARTS, ids=lambda path: path.stem)
def test_pins_of_a_part_match_the_constraints(part: Path) -> None:
    everything = _pins(ROOT / "constraints.txt")
    pins = _pins(part)
    assert part == ENGINES or not pins.keys() - everything.keys()
    for name, pin in pins.items():
        # Markers may differ: a part need not have all the reasons for which everything needs a package.
        assert _exactly(pin) == _exactly(everything.get(name, pin)), f"{name} in {part.name}: run `make lock`"


def test_images_have_no_forbidden_library() -> None:
    heavy = {"numpy", "pandas", "pyarrow", "scipy", "kubernetes"}
    for function, unwanted in {
        "model": heavy | {"aiohttp"},
        "router": heavy | {"aiohttp", "fastapi"},
        "stream": heavy | {"fastapi"},
    }.items():
        assert not unwanted & _pins(ROOT / "requirements" / f"{function}.txt").keys()


@pytest.mark.parametrize("pattern", [REGISTRIES, HOMES], ids=["registry", "home"])
def test_no_file_names_a_registry_or_home_folder(pattern: re.Pattern[str]) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout: there is no list of the repository's files.")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for path in (ROOT / name for name in names if name):
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert not found
