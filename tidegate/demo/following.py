"""A reader of a rollout while it runs: what has been decided, when the traffic changed, and the last figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from functions.rollout.state import Phase
from functions.runtime.knative.client import ApiError
from tidegate.demo.control import DemoFailed
from tidegate.local.state import Running
from tidegate.progress import ProgressReporter
from tidegate.rollouts.actions import find
from tidegate.rollouts.connection import of_local
from tidegate.rollouts.document import Document, document_of

SETTLED_SECONDS = 1.0
"""From the time when a change of the weights was seen until no request is assigned by the former ones any more."""
_POLL_SECONDS = 0.25
_MOST_FAILURES = 40
_MOVES = {"advance", "promote", "roll-back", "inconclusive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A time in which the canary had one percentage. Times are in ms since the epoch.

    `since` is when the change was seen, so that it was written before; `until` is when the next change was decided, so
    that it was written later.
    """

    percent: int
    since: float
    until: float = float("inf")


class Following:
    """A context manager that reads the rollout of a model in a thread, and says each decision."""

    def __init__(self, running: Running, model: str, reporter: ProgressReporter) -> None:
        self.document: Document = {}
        self.decisions: list[Document] = []
        self.steps: list[Step] = []
        self._running, self._model, self._reporter = running, model, reporter
        self._began = 0.0
        self._ended, self._stopping = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="rollout", daemon=True)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether the rollout is over: promoted, rolled back, or past its deadline. Raises what the thread met."""
        if self._error is not None:
            raise self._error
        return self._ended.is_set()

    def figures(self, versions: Mapping[str, str]) -> dict[str, Any]:
        """What has been decided, and what was seen of each arm; `versions` are by revision."""
        return {
            "phase": self.document["phase"],
            "decisions": [{**decision, "seconds": (_ms(decision) - self._began) / 1e3} for decision in self.decisions],
            "arms": [_arm(arm, versions[arm["revision"]]) for arm in self.document["arms"]],
            "labels": self.document["labels"],
        }

    def _run(self) -> None:
        failures = 0
        try:
            with of_local(self._running) as cluster:
                while not self._stopping.is_set() and not self._ended.is_set():
                    try:
                        self._take(document_of(find(cluster, self._model)))
                        failures = 0
                    except ApiError as error:
                        failures += 1
                        if failures > _MOST_FAILURES:
                            raise DemoFailed(f"the rollout cannot be read: {error}") from None
                    self._stopping.wait(_POLL_SECONDS)
        except Exception as error:  # noqa: BLE001 `ended` raises it again
            self._error = error

    def _take(self, document: Document) -> None:
        now = time.time() * 1e3
        self.document = document
        if not self.steps:
            self._began = now
            self.steps.append(Step(percent=document["percent"], since=now))
        for decision in document["decisions"]:
            if decision in self.decisions:
                continue
            self.decisions.append(decision)
            self._reporter.say(f"  {decision['sentence']}")
            if decision["kind"] in _MOVES and decision["percent"] != self.steps[-1].percent:
                last = self.steps[-1]
                self.steps[-1] = Step(percent=last.percent, since=last.since, until=_ms(decision))
                self.steps.append(Step(percent=decision["percent"], since=now))
        if document["phase"] != Phase.RUNNING.value:
            self._ended.set()


def _arm(arm: Document, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "revision": arm["revision"],
        "keys": arm["keys"],
        "requests": arm["requests"],
        "failed": arm["errors"],
        "labelled_keys": arm["labelledKeys"],
        "log_loss": arm["loss"],
        "error_rate": arm["errorRate"],
    }


def _ms(decision: dict[str, Any]) -> float:
    """The time of a decision, which has whole seconds, so that it is rather too early."""
    return datetime.fromisoformat(decision["at"]).timestamp() * 1e3
