"""Checks of batches and of the backtest, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidegate.demo.checks import Check
from tidegate.demo.rollout import CANARY, STABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The finished parts of a run, and their rows."""

    parts: int = 0
    rows: int = 0


def retried(left: Done | None, *, failed: int, succeeded: int) -> Check:
    """The Job was killed once, and its second attempt succeeded. `left` is None if it ended before the kill."""
    observed = "it ended before it was killed" if left is None else f"{failed} of {failed + succeeded} attempts failed"
    return Check("event: the Job was killed and tried again", left is not None and (failed, succeeded) == (1, 1), observed)


def resumed(left: Done, *, scored: int, rows: int) -> Check:
    """The second attempt has scored exactly the rows that the first one has left."""
    observed = f"{left.rows:,} kept + {scored:,} = {left.rows + scored:,}"
    return Check("event: no finished part is scored again", left.parts > 0 and left.rows + scored == rows, observed)


def completion(name: str, data: Mapping[str, Any] | None, *, run: str, digest: str | None) -> Check:
    """The event of a complete run reached the Broker, with the digest of the manifest."""
    name = f"{name}: its completion reached the Broker"
    if data is None:
        return Check(name, False, "no event")
    kept = digest is not None and (data["run"], data["digest"]) == (run, digest)
    return Check(name, kept, f"{data['rows']:,} rows, digest {str(data['digest']).removeprefix('sha256:')[:8]}")


def on_schedule(due: datetime, created: datetime, jobs: int) -> Check:
    """The schedule has started one Job, not before its time."""
    kept = jobs == 1 and created >= due
    observed = f"{jobs} at {created:%H:%M:%S} UTC" + ("" if kept else f", due at {due:%H:%M:%S}")
    return Check("schedule: the PingSource started one Job", kept, observed)


def backtest(log_loss: Mapping[str, Any]) -> list[Check]:
    """The canary has the lower log loss, and not by chance: the interval of the difference is below 0."""
    stable, canary, difference = (log_loss[name] for name in ("first", "second", "difference"))
    interval = difference["interval"]
    observed = "no interval" if interval is None else f"{difference['value']:+.4f} ({interval[0]:+.4f} to {interval[1]:+.4f})"
    return [
        Check(
            f"backtest: {CANARY} has a lower log loss than {STABLE}",
            canary["value"] < stable["value"],
            f"{CANARY} {canary['value']:.4f}, {STABLE} {stable['value']:.4f}",
        ),
        Check("backtest: the difference is not chance", interval is not None and interval[1] < 0, observed),
    ]
