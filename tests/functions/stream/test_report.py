from __future__ import annotations

import logging

import pytest

from functions.stream.report import LogThrottle, Summary, Tally


def test_throttle_lets_a_subject_through_once() -> None:
    throttle = LogThrottle(3600)
    assert [throttle("sink"), throttle("sink"), throttle("broker")] == [True, False, True]


def test_summary_counts_events_since_the_last_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tally = Tally()
    summary = Summary(tally, 0)
    tally.scored, tally.dead_lettered = 90, 10
    summary.log(7)
    summary.log(7)
    (line,) = caplog.messages
    assert line.startswith("100 events in")
    assert line.endswith("90 scored, 10 dead-lettered; 7 are left")


def test_summary_counts_tombstones(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tally = Tally()
    summary = Summary(tally, 0)
    tally.scored, tally.passed_over = 1, 2
    summary.log(0)
    (line,) = caplog.messages
    assert line.startswith("3 events in")
    assert line.endswith("1 scored, 0 dead-lettered, 2 tombstones passed over; 0 are left")
