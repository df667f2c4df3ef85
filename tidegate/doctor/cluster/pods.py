"""Problems of pods: the state of their containers, their exit code, and the last line of their log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tidegate.doctor.accessors import mapping, mappings, name_of, text
from tidegate.doctor.finding import MAX_CHARACTERS, shortened
from tidegate.documents import Object

Logs = Callable[[Object, str], str]
"""The end of the log of a pod's container, by its name; empty if it cannot be read."""

# Time, level and logger, as Python's logging writes them before a message.
_LOG_HEAD = re.compile(r"^\d{4}-\d\d-\d\d[ T][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\s+[A-Z]+\s+[\w.]+:\s+")
_UNINFORMATIVE = frozenset({"ContainerCreating", "PodInitializing", "CrashLoopBackOff", "Completed"})
# The length of a log line that a message quotes.
_QUOTED_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """The reason why a container does not run.

    `reason` is Kubernetes' own, such as OOMKilled; `last_line` is the log's.
    """

    container: str
    reason: str
    exit_code: int | None = None
    restarts: int = 0
    last_line: str

    @property
    def sentence(self) -> str:
        """The problem as a sentence, without a period."""
        line = self.last_line.rpartition("; ")[0] or self.last_line
        quoted = f": {shortened(line, _QUOTED_CHARACTERS).rstrip('.')}" if line else ""
        if self.exit_code is None:
            return f"{self.container} waits ({self.reason}){quoted}"
        times = f", restarted {self.restarts} times" if self.restarts > 1 else ""
        kind = "" if self.reason in ("", "Error") else f" ({self.reason})"
        return f"{self.container} exits with code {self.exit_code}{kind}{times}{quoted}"

    @property
    def advice(self) -> str:
        """The remedy in the log line, which errors of this project have after their last semicolon."""
        _, separator, advice = self.last_line.rpartition("; ")
        return advice.rstrip(".") if separator and self.exit_code is not None else ""


def problem(pods: Iterable[Object], logs: Logs) -> Problem | None:
    """The problem of a container that is not ready, of the newest pod that has one."""
    for pod in sorted(pods, key=_created, reverse=True):
        for status in _statuses(pod):
            if status.get("ready") is not True and (found := _of_container(pod, status, logs)):
                return found
        if found := _unscheduled(pod):
            return found
    return None


def _of_container(pod: Object, status: Object, logs: Logs) -> Problem | None:
    name, restarts = text(status, "name"), status.get("restartCount")
    waiting = mapping(status, "state", "waiting")
    ended = mapping(status, "state", "terminated") or mapping(status, "lastState", "terminated")
    code = ended.get("exitCode")
    if isinstance(code, int) and text(ended, "reason") != "Completed":
        last_line = last_line_of(text(ended, "message")) or last_line_of(logs(pod, name))
        count = restarts if isinstance(restarts, int) else 0
        return Problem(container=name, reason=text(ended, "reason"), exit_code=code, restarts=count, last_line=last_line)
    reason = text(waiting, "reason")
    if not reason or reason in _UNINFORMATIVE:
        return None
    return Problem(container=name, reason=reason, last_line=text(waiting, "message"))


def _unscheduled(pod: Object) -> Problem | None:
    for condition in mappings(mapping(pod, "status").get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = text(condition, "reason") or "Unschedulable"
            return Problem(container=f"pod {name_of(pod)}", reason=reason, last_line=text(condition, "message"))
    return None


def last_line_of(log: str) -> str:
    """The last line that is not blank, without the prefix of a logger."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return _LOG_HEAD.sub("", lines[-1])[: 2 * MAX_CHARACTERS] if lines else ""


def _statuses(pod: Object) -> list[Object]:
    status = mapping(pod, "status")
    return [*mappings(status.get("initContainerStatuses")), *mappings(status.get("containerStatuses"))]


def _created(pod: Object) -> str:
    return text(mapping(pod, "metadata"), "creationTimestamp")
