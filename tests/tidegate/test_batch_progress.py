from __future__ import annotations

import pytest

from functions.batch.job import Progress
from tidegate.batch_progress import duration, note_of


def test_note_has_time_left_rejects_and_rows_from_before() -> None:
    now = Progress(rows=600, total_rows=1_000, seconds=10, rejects=2, resumed=100)
    assert note_of(now) == "8 s left, 2 rejected, 100 from before"
    assert note_of(Progress(rows=600, total_rows=None, seconds=10)) == ""
    assert note_of(Progress(rows=1_000, total_rows=1_000, seconds=10)) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min")])
def test_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
