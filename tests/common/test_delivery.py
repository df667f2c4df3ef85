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
def test_a_status_tells_what_becomes_of_the_event(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(0.01, 100))
def test_the_back_off_is_bounded_and_doubles_with_the_attempts(attempt: int, first: float, longest: float) -> None:
    assert 0 <= backoff(attempt, first=first, longest=longest) <= min(longest, first * 2.0 ** min(attempt - 1, 30))


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3), ("0", 0), (None, 0), ("", 0), ("-1", 0), ("\u00b2", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_the_pause_that_is_asked_for_is_read_if_it_comes_in_seconds(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value) == seconds
