"""`tidegate backtest` of both versions of the example on December, through a real router."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from functions.flights.departures import departures, to_parquet
from tidegate.demo.offline import Offline
from training.evaluation import evaluate

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def december(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights of December with their outcomes."""
    path = tmp_path_factory.mktemp("data") / "december.parquet"
    to_parquet(12, path, outcomes=True)
    return path


@pytest.fixture
def backtest(call: Call, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
        given = [] if "--revisions" in options else ["--revisions", "v1,v2"]
        return call("backtest", str(data), "--model", "flights", *given, "--report", str(tmp_path / "report.html"), *options)

    return run


class Ids(HTMLParser):
    """Collects ids, and addresses that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        links = [found.get(name) or "" for name in ("src", "href", "xlink:href")]
        self.loaded += [link for link in links if link and not link.startswith("#")]
        self.pictures += tag == "svg"


def test_both_revisions_are_compared_on_labelled_data(backtest: Call, december: Path, flights_models: Path, tmp_path: Path) -> None:
    done = backtest(december, "--label", "late", "--drop-unknown", "--slice", "origin", "--cluster", "day", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    ended = [flight for flight in departures(12) if flight.late is not None]
    assert (found["rows"], found["dropped"], found["blocks"]) == (len(ended), 90, 31)
    assert [item["revision"] for item in found["revisions"]] == ["flights-00001", "flights-00002"]
    offline = Offline(flights_models / "v1", flights_models / "v2")
    outcomes = [bool(flight.late) for flight in ended]
    for version, which in (("v1", "first"), ("v2", "second")):
        expected = evaluate(outcomes, offline.scores(version, [flight.record for flight in ended]))
        assert found["metrics"]["log_loss"][which]["value"] == pytest.approx(expected.log_loss, rel=1e-12)
        assert found["metrics"]["auc"][which]["value"] == expected.auc
        assert found["metrics"]["calibration_error"][which]["value"] == pytest.approx(expected.calibration_error, rel=1e-9)
    assert {name: item["better"] for name, item in found["metrics"].items()}["log_loss"] == "second"
    assert [item["value"] for item in found["slices"]] == ["EWR", "JFK", "LGA"]
    assert sum(item["rows"] for item in found["slices"]) == found["rows"]


def test_report_is_self_contained(backtest: Call, december: Path, tmp_path: Path) -> None:
    done = backtest(december, "--label", "late", "--drop-unknown", "--slice", "origin")
    assert done.returncode == 0, done.stderr
    assert re.search(r"log loss +0\.6490 +0\.5942 +-0\.0548 \(-0\.0\d+ to -0\.0\d+\) +v2", done.stdout), done.stdout
    page = (tmp_path / "report.html").read_text("utf-8")
    parser = Ids()
    parser.feed(page)
    assert parser.pictures == 5
    assert parser.loaded == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert page.count('role="img"') == page.count("</desc>") == 5
    assert "url(http" not in page
    assert "@import" not in page
    assert "Log loss: v2 is better" in page


def test_csv_is_read_in_the_types_of_the_inputs(backtest: Call, december: Path, tmp_path: Path) -> None:
    rows = pq.read_table(december).slice(0, 2_000)
    pq.write_table(rows, tmp_path / "rows.parquet")
    pa.csv.write_csv(rows, tmp_path / "rows.csv")
    both = [
        json.loads(backtest(tmp_path / name, "--label", "late", "--drop-unknown", "--json").stdout) for name in ("rows.parquet", "rows.csv")
    ]
    assert both[0]["metrics"] == both[1]["metrics"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--label", "late"], r"label late is null in 90 of 27,110 rows, first in row 906 of december\.parquet; leave .* --drop-unknown"),
        (["--label", "nowhere"], "has no column nowhere; name one of its columns with --label: id, carrier"),
        (["--label", "carrier"], "the label carrier is a column of the type string; write true and false, or 1 and 0"),
        (["--label", "distance"], r"the label distance is 529 in row 0 of december\.parquet"),
        (["--label", "late", "--drop-unknown", "--slice", "id"], "the column id has more than 200 different values"),
        (["--label", "late", "--drop-unknown", "--cluster", "month"], "has no column month, which --cluster names"),
        (["--label", "late", "--drop-unknown", "--score", "probability"], "v1 .* has no output probability .*; those are: late; name one"),
        (
            ["--label", "late", "--drop-unknown", "--revisions", "v1,v7"],
            "model flights has no revision or tag v7; it has flights-00001, v1, flights-00002, v2; name one of these, or a version",
        ),
        (
            ["--label", "late", "--drop-unknown", "--revisions", "v2,flights-00002"],
            "v2 and flights-00002 are both the revision flights-00002; name two different ones",
        ),
        (["--label", "late", "--drop-unknown", "--model", "trains"], "unknown model trains; known models: flights"),
        (
            ["--label", "late", "--drop-unknown", "--report", "/dev/null/x.html"],
            r"cannot write the report /dev/null/x\.html \(its folder does not exist\)",
        ),
    ],
    ids=["nulls", "no-label", "strings", "numbers", "slices", "cluster", "score", "revision", "same", "model", "report"],
)
def test_bad_input_is_one_sentence(options: list[str], sentence: str, backtest: Call, december: Path) -> None:
    done = backtest(december, *options)
    assert done.returncode == 1
    assert re.search(f"^tidegate: .*{sentence}", done.stderr, re.MULTILINE), done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [(True, "the label late is true in all 50 rows"), (None, "the label late is null in all 50 rows")],
    ids=["one-class", "all-null"],
)
def test_outcomes_without_a_difference_are_refused(
    outcome: bool | None, sentence: str, backtest: Call, december: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(december).slice(0, 50)
    rows = rows.set_column(rows.schema.get_field_index("late"), "late", pa.array([outcome] * 50, pa.bool_()))
    pq.write_table(rows, tmp_path / "rows.parquet")
    done = backtest(tmp_path / "rows.parquet", "--label", "late", "--drop-unknown")
    assert done.returncode == 1
    assert sentence in done.stderr


def test_one_revision_is_wrong_usage(backtest: Call, december: Path) -> None:
    done = backtest(december, "--label", "late", "--revisions", "v1")
    assert done.returncode == 2
    assert "'v1' is not two names; write FIRST,SECOND" in done.stderr


def test_unreadable_row_is_named(backtest: Call, december: Path, tmp_path: Path) -> None:
    rows = pq.read_table(december).slice(0, 30)
    rows = rows.set_column(rows.schema.get_field_index("distance"), "distance", pa.array(np.full(30, np.inf)))
    pq.write_table(rows, tmp_path / "rows.parquet")
    done = backtest(tmp_path / "rows.parquet", "--label", "late", "--drop-unknown")
    assert done.returncode == 1
    assert "the column distance has an infinite value in row 0" in done.stderr
