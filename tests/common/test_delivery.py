from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.delivery import Outcome, backoff, outcome_of, retry_after_seconds


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.DONE), (202, Outcome.DONE), (299, Outcome.DONE)]
    + [(status, Outcome.RETRY) for status in (404, 408, 425, 429, 500, 503, 504)]
    + [(status, Outcome.DEAD_LETTER) for status in (301, 400, 401, 409, 413, 422)],
)
def test_status_maps_to_an_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0.01, 100))
def test_backoff_doubles_up_to_its_bound(attempt: int, first: float, longest: float) -> None:
    assert 0 <= backoff(attempt, first=first, longest=longest) <= min(longest, first * 2.0 ** min(attempt - 1, 30))


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3), ("0", 0), (None, 0), ("", 0), ("-1", 0), ("\u00b2", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_retry_after_is_read_in_seconds_only(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value) == seconds
