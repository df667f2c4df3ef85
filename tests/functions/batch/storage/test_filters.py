from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.errors import InvalidRequest
from functions.batch.storage import filters

BATCH = pa.RecordBatch.from_pydict({"n": [1, 2, None, 4], "c": ["UA", "DL", None, "AA"], "late": [True, False, None, True]})


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("n > 1", [1, 3]),
        ("n != 2", [0, 3]),
        ("n >= 2 and c == 'DL'", [1]),
        ("n == 1 or c in ('DL', 'AA')", [0, 1, 3]),
        ("c not in ['UA']", [1, 2, 3]),
        ("not (n <= 2)", [3]),
        ("n is None", [2]),
        ("n is not None and late == True", [0, 3]),
        ("n > -1.5", [0, 1, 3]),
    ],
)
def test_rows_pass(text: str, passed: list[int]) -> None:
    found = filters.parse(text)
    assert [row for row, passes in enumerate(found.mask(BATCH).to_pylist()) if passes] == passed


@pytest.mark.parametrize(
    "text",
    [
        "n",
        "n >",
        "1 < n",
        "n == m",
        "n < 1 < 2",
        "__import__('os').system('true')",
        "n == __import__('os')",
        "n.real == 1",
        "n in ()",
        "n == None",
        "not n",
        "n == 'a\0",
        "n == " + "(" * 900,
    ],
)
def test_what_is_no_comparison_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read; write it as in distance > 500"):
        filters.parse(text)


@given(text=st.text(max_size=50))
def test_every_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        filters.parse(text)
    except InvalidRequest:
        return


def test_filter_has_a_limit() -> None:
    with pytest.raises(InvalidRequest, match=r"the filter has 3,006 characters, more than 2,000; shorten it"):
        filters.parse("n == '" + "x" * 3_000)
