"""The Jobs of a JobSink, from outside: when one starts and ends, and what a killed one leaves for its next attempt."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from functions.batch.run import inspection
from tidegate.demo.batch_checks import Done
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.local.eventing.overview import JobStatus
from tidegate.local.state import is_alive
from tidegate.local.status import Status

_RUNNING, _COMPLETE = "Running", "Complete"
_START_SECONDS = 60.0
# Longer than a batch takes beside other work on the machine.
_END_SECONDS = 300.0
_TICK_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A run of a batch: its identity, which is that of its event, and where it writes."""

    run: str
    output: Path

    @property
    def done(self) -> Done:
        found = inspection.state_of(str(self.output), self.run)
        return Done(parts=found["parts"], rows=found["rows"]) if found else Done()


def names(status: Status) -> set[str]:
    """The names of all Jobs."""
    return {job["name"] for job in status["eventing"]["jobs"]}


def wait_for_start(workbench: Workbench, known: Collection[str]) -> str:
    """The name of a Job that is not known yet. Raises DemoFailed."""
    found = names(workbench.wait_until(_START_SECONDS, lambda status: not names(status) <= set(known))) - set(known)
    if not found:
        raise DemoFailed(f"no Job was started within {_START_SECONDS:.0f} s", remedy="see `tidegate status`")
    return min(found)


def wait_for_end(workbench: Workbench, name: str, show: Callable[[], None] = lambda: None) -> JobStatus:
    """The complete Job, with the counts of its attempts; `show` is called now and then. Raises DemoFailed."""

    def has_ended(status: Status) -> bool:
        show()
        return _job(status, name)["state"] != _RUNNING

    job = _job(workbench.wait_until(_END_SECONDS, has_ended), name)
    if job["state"] != _COMPLETE:
        why = job["reason"] or f"still running after {_END_SECONDS:.0f} s"
        raise DemoFailed(f"the Job {name} is not complete: {why}", remedy=f"see {workbench.state_dir}/log/{name}-*.log")
    return job


def kill_in_the_middle(workbench: Workbench, name: str, batch: Batch, after_parts: int, show: Callable[[], None]) -> Done | None:
    """Kill the process of a Job as soon as so many parts are finished. Returns what it leaves; None if it ended before."""
    pid = _pid(workbench, name)
    while pid is not None and is_alive(pid):
        show()
        if batch.done.parts >= after_parts:
            return _kill(pid, batch)
        time.sleep(_TICK_SECONDS)
    return None


def _pid(workbench: Workbench, name: str) -> int | None:
    """The process of a Job, as soon as there is one; None for a Job that has ended."""

    def has_begun(status: Status) -> bool:
        job = _job(status, name)
        return bool(job["pods"]) or job["state"] != _RUNNING

    job = _job(workbench.wait_until(_START_SECONDS, has_begun), name)
    return next((pod["pid"] for pod in job["pods"]), None)


def _kill(pid: int, batch: Batch) -> Done | None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    while is_alive(pid):
        time.sleep(_TICK_SECONDS)
    # The next attempt starts after half a second, and has not finished a part yet.
    return None if batch.output.exists() else batch.done


def _job(status: Status, name: str) -> JobStatus:
    return next(job for job in status["eventing"]["jobs"] if job["name"] == name)
