from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.client import Patience


@given(st.integers(1, 50))
def test_waits_double_up_to_a_limit(attempt: int) -> None:
    wait = Patience(first_seconds=0.5, longest_seconds=8).wait(attempt, None)
    assert 0 <= wait <= min(0.5 * 2 ** (attempt - 1), 8)


@pytest.mark.parametrize(("retry_after", "least"), [("3", 3), ("0", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("", 0)])
def test_what_is_asked_for_is_waited_for(retry_after: str, least: float) -> None:
    assert least <= Patience(first_seconds=0.5).wait(1, retry_after) <= least + 0.5
