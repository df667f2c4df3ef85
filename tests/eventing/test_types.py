from __future__ import annotations

import re
from pathlib import Path

from eventing import types

ROOT = Path(__file__).parents[2]
TYPES = {value for name, value in vars(types).items() if name.isupper()}
SOURCES = [
    path
    for folder in ("common", "eventing", "functions", "loadtest", "tidegate", "training")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(types.__file__)
]


def test_event_types_are_written_in_one_module() -> None:
    literal = re.compile(r"""["']dev\.(?:tidegate|knative)\.[a-z.{}]+["']""")
    assert {str(path): found for path in SOURCES if (found := literal.findall(path.read_text("utf-8")))} == {}


def test_event_types_of_docs_and_manifests_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "manifests").rglob("*.yaml")]
    named = {name for path in pages for name in re.findall(r"\bdev\.tidegate\.[a-z]+\.[a-z]+", path.read_text("utf-8"))}
    assert named
    assert named <= TYPES
