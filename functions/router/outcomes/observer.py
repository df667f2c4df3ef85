"""The windows of all models: opened by the first call of a second, and sent as an outcome event at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import monotonic, time
from typing import Any
from uuid import uuid4

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.outcome import MOST_ARMS, Outcome
from functions.router.outcomes.reported import Reported
from functions.router.outcomes.window import Window
from functions.runtime.knative.traffic import RoutedModel

log = logging.getLogger("tidegate.router")

WINDOW_SECONDS = 1.0
# After which keys that are still bad are listed again: the event that had them first may be lost, and the
# reader of the events counts a key once in any case.
_RELIST_SECONDS = 60.0

# What must be equal for all calls of a window.
_Split = tuple[Any, ...]


@dataclass(slots=True)
class _Open:
    """An open window, and what its outcome says of it."""

    window: Window
    model: RoutedModel
    started: float
    since: float
    timer: asyncio.TimerHandle


class ObservedModel:
    """A model with its open windows: one, and a second one while calls of a former split end.

    `sequence` is the number of its last outcome.
    """

    def __init__(self, end: Callable[[ObservedModel, _Split], None], sequence: int = 0) -> None:
        self._end = end
        self._rollout = ""
        self._reported = Reported()
        self._reported_since = monotonic()
        # The last model, as a shortcut: it is replaced when its Knative Service changes.
        self._last: RoutedModel | None = None
        self._current: Window | None = None
        # When the first reply of a started process last arrived, by revision.
        self._starts: dict[str, float] = {}
        self.open: dict[_Split, _Open] = {}
        self.sequence = sequence

    def started(self, revision: str) -> None:
        """Record that the first reply of a started process has arrived."""
        self._starts[revision] = monotonic()

    def is_cold(self, revision: str, began: float) -> bool:
        """Whether a call that began then may have waited for a process that has started since."""
        return began < self._starts.get(revision, 0.0)

    def window(self, model: RoutedModel) -> Window:
        """The open window of the split of `model`, by which a call was assigned, whatever the split is now."""
        if self._last is model and self._current is not None:
            return self._current
        split = _split_of(model)
        opened = self.open.get(split)
        if opened is None:
            opened = self.open[split] = self._open(model, split)
        self._last, self._current = model, opened.window
        return opened.window

    def take(self, split: _Split) -> _Open:
        """Take out a window that ends."""
        opened = self.open.pop(split)
        opened.timer.cancel()
        if self._current is opened.window:
            self._current = None
        self.sequence += 1
        return opened

    def _open(self, model: RoutedModel, split: _Split) -> _Open:
        now = monotonic()
        if self._rollout != model.rollout or now - self._reported_since >= _RELIST_SECONDS:
            self._rollout, self._reported, self._reported_since = model.rollout, Reported(), now
        timer = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end, self, split)
        return _Open(Window(model, self._reported), model, time(), now, timer)


class Observer:
    """Counts calls by window, and passes each window's event to `put`.

    Windows end in `executor`, which must have one thread, so that they end in order. `exists` is whether a model is not
    deleted. `instance` is the name of this process in the events.
    """

    def __init__(self, executor: Executor, put: Callable[[Message], None], exists: Callable[[str], bool], *, instance: str = "") -> None:
        self._executor = executor
        self._put = put
        self._exists = exists
        self._instance = instance or uuid4().hex
        self._models: dict[str, ObservedModel] = {}
        # The largest number of an outcome of the models that were forgotten.
        self._last_sequence = 0
        self._ending: set[asyncio.Future[Message]] = set()

    def model(self, model: RoutedModel) -> ObservedModel | None:
        """The windows of a model; None if it has too many arms for an outcome."""
        found = self._models.get(model.name)
        if found is None:
            self._forget()
            found = self._models[model.name] = ObservedModel(self._end, self._last_sequence)
        return found if len(model.canaries) < MOST_ARMS else None

    def _forget(self) -> None:
        """Forget the deleted models.

        One that is created again with the same name continues after their numbers: an outcome with a number that was used
        would be taken for one that is delivered twice.
        """
        for name, found in list(self._models.items()):
            if not self._exists(name) and not found.open:
                self._last_sequence = max(self._last_sequence, found.sequence)
                del self._models[name]

    async def close(self) -> None:
        """End all windows."""
        for model in self._models.values():
            for split in list(model.open):
                self._end(model, split)
        if self._ending:
            await asyncio.wait(self._ending)
            await asyncio.sleep(0)  # their callbacks are called

    def _end(self, model: ObservedModel, split: _Split) -> None:
        opened = model.take(split)
        # Replies are parsed and keys sorted in another thread.
        encode = partial(_encode, opened, self._instance, model.sequence, monotonic() - opened.since)
        ending = asyncio.get_running_loop().run_in_executor(self._executor, encode)
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Future[Message]) -> None:
        self._ending.discard(ending)
        if ending.cancelled():
            return
        error = ending.exception()
        if error is None:
            self._put(ending.result())
        else:
            log.error("bug: an outcome could not be made", exc_info=error)


def _split_of(model: RoutedModel) -> _Split:
    shadow = model.shadow.revision if model.shadow is not None else None
    shares = tuple((arm.revision, arm.percent) for arm in model.split)
    return model.rollout, shares, model.latency_slo, shadow, model.shadow_tolerance


def _encode(opened: _Open, instance: str, sequence: int, seconds: float) -> Message:
    arms, shadow = opened.window.end()
    outcome = Outcome(
        router=instance,
        model=opened.model.name,
        sequence=sequence,
        rollout=opened.model.rollout,
        started=opened.started,
        seconds=seconds,
        arms=arms,
        shadow=shadow,
    )
    return http.encode([outcome.to_event()], Mode.BINARY)
