from __future__ import annotations

from tidegate.local.processes.backoff import Backoff


def test_pauses_double_up_to_ten_seconds() -> None:
    backoff = Backoff()
    assert [backoff.failed(0.1, was_ready=False) for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_healthy_life_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(0.1, was_ready=True)
    assert backoff.failed(60, was_ready=True) == 0.5


def test_a_long_life_that_was_never_ready_was_not_healthy() -> None:
    backoff = Backoff()
    backoff.failed(60, was_ready=False)
    assert backoff.failed(60, was_ready=False) == 1
