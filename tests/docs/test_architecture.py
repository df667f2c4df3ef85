"""Every path in ARCHITECTURE.md exists, and its code map has every package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
PACKAGES = ("common", "eventing", "functions", "loadtest", "manifests", "tests", "tidegate", "training")
NAMES = sorted(set(re.findall(r"`([\w./-]+)`", PAGE)))
PATHS = [name for name in NAMES if name.partition("/")[0] in PACKAGES and "/" in name]


def test_paths_are_found_on_the_page() -> None:
    assert len(PATHS) > 100


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).exists()


@pytest.mark.parametrize("package", ["eventing", "functions", "functions/runtime", "tidegate", "tidegate/local", "tidegate/doctor"])
def test_code_map_has_every_package(package: str) -> None:
    rooms = {f"{package}/{init.parent.name}/" for init in (ROOT / package).glob("*/__init__.py")}
    assert rooms
    assert rooms <= set(PATHS)
