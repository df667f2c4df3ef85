"""The checks of batches and of the backtest must be able to fail: each meets the fault that it looks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.demo import batch_checks
from tidegate.demo.batch_checks import Done
from tidegate.demo.checks import Check
from tidegate.demo.november import November, Output

DUE = datetime(2026, 11, 27, 2, 30, tzinfo=UTC)
LEFT = Done(parts=5, rows=50)
DATA = {"run": "/me#1", "digest": "sha256:0123456789", "rows": 110}


def broken(*found: Check) -> list[str]:
    return [check.name for check in found if not check.kept]


def test_job_was_killed_once_and_then_complete() -> None:
    assert batch_checks.retried(LEFT, failed=1, succeeded=1).kept
    assert not batch_checks.retried(LEFT, failed=0, succeeded=1).kept
    assert not batch_checks.retried(LEFT, failed=2, succeeded=1).kept


def test_batch_that_ended_before_the_kill_is_not_claimed() -> None:
    found = batch_checks.retried(None, failed=0, succeeded=1)
    assert (found.kept, found.observed) == (False, "it ended before it was killed")


def test_second_attempt_scores_what_the_first_one_has_left() -> None:
    assert batch_checks.resumed(LEFT, scored=60, rows=110).kept
    assert not batch_checks.resumed(LEFT, scored=110, rows=110).kept
    assert not batch_checks.resumed(Done(), scored=110, rows=110).kept


def test_completion_is_that_of_the_run_and_of_its_manifest() -> None:
    assert batch_checks.completion("", DATA, run="/me#1", digest="sha256:0123456789").kept
    assert not batch_checks.completion("", None, run="/me#1", digest="sha256:0123456789").kept
    assert not batch_checks.completion("", DATA, run="/me#2", digest="sha256:0123456789").kept
    assert not batch_checks.completion("", DATA, run="/me#1", digest="sha256:9876543210").kept
    assert not batch_checks.completion("", DATA, run="/me#1", digest=None).kept


def test_schedule_starts_one_job_at_its_time() -> None:
    assert batch_checks.on_schedule(DUE, DUE, 1).kept
    assert not batch_checks.on_schedule(DUE, DUE, 2).kept
    early = batch_checks.on_schedule(DUE, DUE - timedelta(seconds=1), 1)
    assert (early.kept, early.observed) == (False, "1 at 02:29:59 UTC, due at 02:30:00")


def log_loss(first: float, second: float, interval: tuple[float, float] | None) -> dict[str, Any]:
    return {"first": {"value": first}, "second": {"value": second}, "difference": {"value": second - first, "interval": interval}}


def test_canary_is_better_only_if_the_interval_is_below_zero() -> None:
    chance = ["backtest: the difference is not chance"]
    assert not broken(*batch_checks.backtest(log_loss(0.6, 0.5, (-0.2, -0.05))))
    assert broken(*batch_checks.backtest(log_loss(0.6, 0.5, (-0.2, 0.01)))) == chance
    assert broken(*batch_checks.backtest(log_loss(0.6, 0.5, None))) == chance
    assert broken(*batch_checks.backtest(log_loss(0.5, 0.6, (0.05, 0.2)))) == ["backtest: v2 has a lower log loss than v1", *chance]


def test_output_of_a_batch_is_compared_row_by_row() -> None:
    rows = {"a": ("one", 0.1), "b": ("two", 0.2)}
    november = November(folder=None, rows=2, expected=rows)  # type: ignore[arg-type]
    complete, equal = ["b: every row is scored"], ["b: scores equal offline scores"]
    assert not broken(*november.check("b", Output(2, rows)))
    assert broken(*november.check("b", Output(3, rows))) == complete
    assert broken(*november.check("b", Output(1, {"a": rows["a"]}))) == complete + equal
    assert broken(*november.check("b", Output(2, {**rows, "b": ("one", 0.2)}))) == equal
    assert broken(*november.check("b", Output(2, {**rows, "b": ("two", 0.2000001)}))) == equal
