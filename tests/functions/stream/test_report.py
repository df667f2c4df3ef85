from __future__ import annotations

import logging

import pytest

from functions.stream.report import Seldom, Summary, Tally


def test_a_subject_is_told_once_in_a_while() -> None:
    seldom = Seldom(3600)
    assert [seldom("sink"), seldom("sink"), seldom("broker")] == [True, False, True]


def test_the_summary_counts_what_came_since_the_last(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tally = Tally()
    summary = Summary(tally, 0)
    tally.scored, tally.dead_lettered = 90, 10
    summary.tell(7)
    summary.tell(7)
    (line,) = caplog.messages
    assert line.startswith("100 events in")
    assert line.endswith("90 scored, 10 dead-lettered; 7 are left")
