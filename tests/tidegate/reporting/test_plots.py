from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tidegate.reporting import plots
from tidegate.reporting.plots import Interval, Points

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"

PICTURES = {
    "lines": lambda title: plots.lines(
        title, [Points("a<b", [0.1, 0.9], [0.2, 0.8], [0.1, 0.7], [0.3, 0.9]), Points("b", [0, 1], [0, 1])], x="x", y="y", description="d"
    ),
    "intervals": lambda title: plots.intervals(
        title, [Interval("one", 0.2, 0.1, 0.3), Interval("two", -0.1, None, None)], below="#111111", above="#222222", x="x", description="d"
    ),
    "bars": lambda title: plots.bars(title, [-1.0, 0.0, 1.0], [3, 4], x="x", y="y", description="d"),
    "scatter": lambda title: plots.scatter(title, Points("", [0.1, 0.4], [0.2, 0.3]), x="x", y="y", description="d"),
    "scatter of one point": lambda title: plots.scatter(title, Points("", [0.1], [0.1]), x="x", y="y", description="d"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_picture_has_a_title_a_description_and_text(kind: str) -> None:
    root = ET.fromstring(PICTURES[kind]("v1 <and> v2"))  # noqa: S314 our own
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    title, description = root.findall(f"{SVG}title")[0], root.findall(f"{SVG}desc")[0]
    assert (title.text, description.text) == ("v1 <and> v2", "d")
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert any("v1 <and> v2" in (text.text or "") for text in root.iter(f"{SVG}text"))


def test_identifiers_of_two_pictures_differ_and_every_reference_has_one() -> None:
    first, second = (PICTURES["lines"](title) for title in ("one", "two"))
    ids = [re.findall(r'\sid="([^"]+)"', text) for text in (first, second)]
    assert not {*ids[0]} & {*ids[1]}
    assert len({*ids[0]}) == len(ids[0])
    root = ET.fromstring(first)  # noqa: S314 our own
    references = {element.get(HREF, "#").removeprefix("#") for element in root.iter()} | set(re.findall(r"url\(#([^)]+)\)", first))
    assert references - {""} <= {*ids[0]}


def test_equal_figures_give_equal_pictures() -> None:
    assert PICTURES["bars"]("same") == PICTURES["bars"]("same")
