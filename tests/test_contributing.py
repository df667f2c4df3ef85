"""Paths, targets, commands and names in CONTRIBUTING.md exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.cli import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
COMMANDS = [*SPANS, *"".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()]
PATH = re.compile(r"[\w.*-]+/[\w./-]*|[\w-]+\.(?:md|toml|yaml)")
TARGETS = sorted({target for text in COMMANDS if text.startswith("make ") for target in text.split(" ARGS=")[0].split()[1:]})
# Made by a command of the page, or a file of any folder of its kind.
NOT_IN_A_CLONE = {"kustomization.yaml", ".venv/bin/activate"}


def paths(text: str) -> list[str]:
    spans = re.findall(r"`([^`\n]+)`", text)
    return [span for span in spans if PATH.fullmatch(span) and span not in NOT_IN_A_CLONE]


def steps() -> list[tuple[str, str]]:
    """The sections that say where something is added, by their headings."""
    part = PAGE.split("\n## Where things are added\n")[1].split("\n## ")[0]
    return [(section.partition("\n")[0], section) for section in part.split("\n### ")[1:]]


@pytest.mark.parametrize("path", sorted(set(paths(PAGE))))
def test_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_is_in_the_help(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE)


def test_tidegate_commands_exist() -> None:
    named = {text.split()[1] for text in COMMANDS if text.startswith("tidegate ")}
    assert named
    assert named <= {command.name for command in app.registered_commands}


@pytest.mark.parametrize(("heading", "section"), steps(), ids=lambda text: text.partition("\n")[0])
def test_names_in_a_section_are_in_its_files(heading: str, section: str) -> None:
    files = [file for path in paths(section) for file in _files(ROOT / path)]
    texts = [file.read_text("utf-8") for file in files]
    assert texts, heading
    for name in re.findall(r"`([A-Z]\w+|[a-z]+_\w+|load|check)`", section):
        assert any(re.search(rf"\b{name}\b", text) for text in texts), f"{name} is in none of {', '.join(paths(section))}"


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder, its modules and manifests."""
    return [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.yaml")]


def test_relative_links_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (ROOT / target).exists(), target
