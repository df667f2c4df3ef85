from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest.compare import report, result
from loadtest.compare.result import Comparison, Shown
from loadtest.compare.rounds import Rounds
from loadtest.compare.soak import Soak

_FIGURES = {
    "one-row-8": {
        "tidegate": [{"rate": 9_000.0, "p99": 1.0, "errors": 0, "busy": 0.45}, {"rate": 11_000.0, "p99": 2.0, "errors": 0}],
        "mlserver": [{"rate": 900.0, "p99": 20.0, "errors": 0}, {"rate": 1_000.0, "p99": 30.0, "errors": 3}],
    },
    "cold-start": {"tidegate": [{"started_ms": 210.0}], "mlserver": [{"started_ms": 2_100.0}]},
}
_RESULT = Comparison(
    "2026-01-01 10:00 UTC",
    {"cpu": "2 x a processor", "load": "0.10", "system": "Linux 6", "python": "3.11"},
    2,
    4.0,
    {"8": 70_000.0},
    (
        Shown("tidegate", "Tidegate", {"uvicorn": "1.0"}),
        Shown("mlserver", "MLServer", {}, ("it is slow",)),
        Shown("x", "X", missing="no package"),
    ),
    Rounds(
        {scenario: {name: list(entries) for name, entries in found.items()} for scenario, found in _FIGURES.items()},
        {"mlserver": "it died"},
    ),
    Soak(1_000, 0, 2.0, 0.25, ((0, 1_000_000), (1_000, 1_000_250))),
)


def test_table_has_medians_ranges_failures_and_ratios() -> None:
    rows = {row[0]: row[1:] for row in report.figures(_RESULT)}
    assert rows[""] == ["Tidegate", "MLServer", "Tidegate / MLServer"]
    rate = rows["one row, JSON, 8 connections: requests/s"]
    assert rate == ["10,000 (9,000 to 11,000)", "950 (900 to 1,000), 3 failed", "10.5"]
    assert rows["process start to first response, ms"][2] == "1/10.0"
    assert not any("64 connections" in title for title in rows)


def test_bars_are_met_missed_or_not_measured() -> None:
    outcomes = {row[0]: row[-1] for row in report.bars(_RESULT)}
    assert outcomes["one row, 8 connections: requests/s relative to MLServer"] == "met"
    assert outcomes["process start to first response relative to MLServer"] == "met"
    assert outcomes["one row, 64 connections: requests/s relative to MLServer"] == "not measured"


def test_notes_name_missing_and_failed_servers() -> None:
    notes = " ".join(report.notes(_RESULT))
    for note in (
        "X was not measured: no package",
        "MLServer: it is slow",
        "it died",
        "8: 70,000",
        "uvicorn 1.0",
        "1,000 requests at 64",
        "45% of a core",
    ):
        assert note in notes


def test_result_is_read_as_written(tmp_path: Path) -> None:
    result.write(_RESULT, tmp_path / "new" / "compare.json")
    assert result.read(tmp_path / "new" / "compare.json") == _RESULT


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"servers": [], "soak": null, "measured": {"nonsense": 1}}'])
def test_file_that_is_not_a_result_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(result.NoResult, match="is not the result of a comparison"):
        result.read(tmp_path / "file")


def test_page_and_plots_are_equal_for_equal_figures(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in report.write(_RESULT, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in report.write(_RESULT, tmp_path / "b")}
    assert first == second
    assert set(first) == {"comparison.md", "one-row.svg", "start-and-memory.svg", "soak.svg"}
    assert b"Tidegate" in first["one-row.svg"]
    for name in first.keys() - {"comparison.md"}:
        assert ET.parse(tmp_path / "a" / "performance" / name).getroot().tag.endswith("svg")  # noqa: S314 we have written it
