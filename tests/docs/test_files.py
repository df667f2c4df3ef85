"""Keys, cells and limits in docs/files.md match the code."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventing.keys import key_text
from functions.batch.settings import BatchLimits
from tidegate.rows.numbers import by_form, reader_of

PAGE = (Path(__file__).parents[2] / "docs/files.md").read_text("utf-8")


def row(first: str) -> str:
    """The cells of a table's row behind its first."""
    return re.search(rf"^\| {re.escape(first)} \| (.*) \|$", PAGE, re.MULTILINE)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", ["007"]),
        ("bool", [True]),
        ("integer", [12345678901234567890123]),
        ("float", [1.0, 0.1, 1e21]),
        ("float of 16 or 32 bits", [float(np.float32(0.1))]),
        ("decimal", [Decimal("0.10")]),
        ("date", [dt.date(2013, 1, 2)]),
        ("time, timestamp", [dt.datetime(2013, 1, 2, 5), dt.datetime(2013, 1, 2, 5, tzinfo=dt.UTC)]),  # noqa: DTZ001
    ],
)
def test_key_examples_match_the_code(kind: str, values: list[Any]) -> None:
    examples = row(kind).rpartition(" | ")[2]
    assert all(f"`{key_text(value)}`" in examples for value in values)


def test_cell_examples_match_the_code() -> None:
    def examples(first: str) -> list[str]:
        return re.findall(r"`([^`]+)`", row(first))

    assert [reader_of("BOOL")(text) for text in examples("`BOOL`")] == [True] * 4 + [False] * 4
    assert [reader_of("FP64")(text) for text in examples("`INT…`, `UINT…`, `FP…`")] == [7, 50.5, 0.5, 1e-100, 42]
    assert [by_form(text) for text in ("007", "NaN", "Infinity", "1E05", "true")] == ["007", "NaN", "Infinity", 1e5, True]


def test_batch_limits_match_the_code() -> None:
    limits = BatchLimits()
    said = row("requests")
    assert f"{limits.chunk_rows:,} rows" in said
    assert f"{limits.binary_bytes // 2**20} MiB" in said
    assert f"{limits.json_bytes // 2**20} MiB" in said
