"""The examples of docs/backtest.md, run as they stand, and its tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples import ROOT, run, script
from tidegate.backtest.bootstrap import MAX_BLOCKS, MIN_BLOCKS, RESAMPLES
from tidegate.backtest.groups import MAX_SLICES
from tidegate.backtest.metrics import AUC_BINS, METRICS
from tidegate.cli import run as tidegate

PAGE = (ROOT / "docs/backtest.md").read_text("utf-8")


def test_every_example_works(tmp_path: Path, flights_models: Path) -> None:
    printed = run(script(PAGE, tmp_path), ROOT, tmp_path)
    assert re.search(r"27,020 rows of .*, of which late is true in 33\.5%; 90 without a known outcome are left out", printed), printed
    assert "rows with the same day are resampled together, in 31 blocks" in printed
    assert "500 events of flights.departed from" in printed
    assert re.search(r"scored +scored +500", printed), printed
    assert "Traceback" not in printed
    for name in ("backtest", "replay"):
        assert "</html>" in (tmp_path / f"{name}.html").read_text("utf-8")


@pytest.mark.parametrize("command", ["backtest", "replay"])
def test_every_option_on_the_page_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = re.split(r"\n## ", PAGE)[3 if command == "replay" else 2]
    assert section.lower().startswith(command)
    assert tidegate([command, "--help"]) == 0
    shown = capsys.readouterr().out
    options = set(re.findall(r"^\| `(--\w[\w-]*)", section, re.MULTILINE))
    assert options
    assert {option for option in options if f"{option} " not in shown} == set()


def test_numbers_are_the_code_s() -> None:
    text = " ".join(PAGE.split())
    assert f"Beyond {MAX_BLOCKS:,} rows or clusters, they are put into {MAX_BLOCKS:,} blocks" in text
    assert f"with {RESAMPLES:,} resamples" in text
    assert f"in {AUC_BINS} bins of equal count" in text
    assert f"fewer than {MIN_BLOCKS} rows or clusters" in text
    assert f"({MAX_SLICES} values at most)" in text
    assert [metric.title for metric in METRICS] == re.findall(r"^\| ([\w ]+) \| .* \| (?:lower|higher) \|$", PAGE, re.MULTILINE)
