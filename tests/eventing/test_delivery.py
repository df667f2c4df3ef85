from __future__ import annotations

import pytest

from eventing.delivery import Outcome, outcome_of


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.DONE), (202, Outcome.DONE), (299, Outcome.DONE)]
    + [(status, Outcome.RETRY) for status in (408, 425, 429, 500, 503, 504)]
    + [(status, Outcome.DEAD_LETTER) for status in (301, 400, 401, 404, 409, 413, 422)],
)
def test_a_status_tells_what_becomes_of_the_event(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome
