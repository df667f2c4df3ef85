"""Why pods do not run: the state of their containers, their exit code, and the last words of their log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tidegate.doctor.accessors import mapping, mappings, name_of, text
from tidegate.doctor.finding import LONGEST, shortened
from tidegate.objects import Object

Logs = Callable[[Object, str], str]
"""The end of the log of a container of a pod, by its name; empty where it cannot be read."""

# Time, level and logger, as Python's logging writes them before a message.
_LOG_HEAD = re.compile(r"^\d{4}-\d\d-\d\d[ T][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\s+[A-Z]+\s+[\w.]+:\s+")
_NO_NEWS = frozenset({"ContainerCreating", "PodInitializing", "CrashLoopBackOff", "Completed"})
# Of a sentence with other words around it.
_QUOTED = 120


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a container from running. `reason` is Kubernetes' own word, such as OOMKilled; `words` are the container's last ones."""

    container: str
    reason: str
    exit_code: int | None
    restarts: int
    words: str

    @property
    def sentence(self) -> str:
        """Without a full stop."""
        words = self.words.rpartition("; ")[0] or self.words
        said = f": {shortened(words, _QUOTED).rstrip('.')}" if words else ""
        if self.exit_code is None:
            return f"{self.container} waits ({self.reason}){said}"
        times = f", started again {self.restarts} times" if self.restarts > 1 else ""
        kind = "" if self.reason in ("", "Error") else f" ({self.reason})"
        return f"{self.container} ends with exit code {self.exit_code}{kind}{times}{said}"

    @property
    def advice(self) -> str:
        """What the container says itself is to be done: errors of this project say it after their last semicolon."""
        _, separator, advice = self.words.rpartition("; ")
        return advice.rstrip(".") if separator and self.exit_code is not None else ""


def trouble(pods: Iterable[Object], logs: Logs) -> Trouble | None:
    """The first of a container that is not ready, of the newest pod that has one."""
    for pod in sorted(pods, key=_made, reverse=True):
        for status in _statuses(pod):
            if status.get("ready") is not True and (found := _of_container(pod, status, logs)):
                return found
        if found := _unscheduled(pod):
            return found
    return None


def _of_container(pod: Object, status: Object, logs: Logs) -> Trouble | None:
    name, restarts = text(status, "name"), status.get("restartCount")
    waiting = mapping(status, "state", "waiting")
    ended = mapping(status, "state", "terminated") or mapping(status, "lastState", "terminated")
    code = ended.get("exitCode")
    if isinstance(code, int) and text(ended, "reason") != "Completed":
        words = last_words(text(ended, "message")) or last_words(logs(pod, name))
        return Trouble(name, text(ended, "reason"), code, restarts if isinstance(restarts, int) else 0, words)
    reason = text(waiting, "reason")
    return Trouble(name, reason, None, 0, text(waiting, "message")) if reason and reason not in _NO_NEWS else None


def _unscheduled(pod: Object) -> Trouble | None:
    for condition in mappings(mapping(pod, "status").get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble(f"pod {name_of(pod)}", text(condition, "reason") or "Unschedulable", None, 0, text(condition, "message"))
    return None


def last_words(log: str) -> str:
    """The last line that says something, without what a logger writes before it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return _LOG_HEAD.sub("", lines[-1])[: 2 * LONGEST] if lines else ""


def _statuses(pod: Object) -> list[Object]:
    status = mapping(pod, "status")
    return [*mappings(status.get("initContainerStatuses")), *mappings(status.get("containerStatuses"))]


def _made(pod: Object) -> str:
    return text(mapping(pod, "metadata"), "creationTimestamp")
