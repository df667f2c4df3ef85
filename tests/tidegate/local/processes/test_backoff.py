from __future__ import annotations

from tidegate.local.processes.backoff import Backoff


def test_pauses_double_up_to_ten_seconds() -> None:
    backoff = Backoff()
    assert [backoff.record_failure(0.1, was_ready=False) for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_healthy_run_resets_the_pauses() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.record_failure(0.1, was_ready=True)
    assert backoff.record_failure(60, was_ready=True) == 0.5


def test_long_run_that_was_never_ready_does_not_reset_the_pauses() -> None:
    backoff = Backoff()
    backoff.record_failure(60, was_ready=False)
    assert backoff.record_failure(60, was_ready=False) == 1
