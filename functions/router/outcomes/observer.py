"""The windows of all models: opened by the first call of a second, and sent as an outcome event at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Any
from uuid import uuid4

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.outcome import MOST_ARMS, Outcome
from functions.router.outcomes.reported import Reported
from functions.router.outcomes.window import Observed, Window
from functions.runtime.knative.traffic import RoutedModel

log = logging.getLogger("tidegate.router")

WINDOW_SECONDS = 1.0

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


@dataclass(slots=True)
class _Observed:
    """A model with its open windows: one, and a second one while calls of a former split end."""

    open: dict[_Split, _Open] = field(default_factory=dict)
    # The last model, as a shortcut: it is replaced when its Knative Service changes.
    model: RoutedModel | None = None
    window: Window | None = None
    sequence: int = 0
    rollout: str = ""
    reported: Reported = field(default_factory=Reported)
    # When the first reply of a started process last arrived, by revision.
    starts: dict[str, float] = field(default_factory=dict)


class Observer:
    """Counts calls by window, and passes each window's event to `put`.

    Windows end in `executor`, which must have one thread, so that they end in order. `instance` is the name of this
    process in the events.
    """

    def __init__(self, executor: Executor, put: Callable[[Message], None], *, instance: str = "") -> None:
        self._executor = executor
        self._put = put
        self._instance = instance or uuid4().hex
        self._models: dict[str, _Observed] = {}
        self._ending: set[asyncio.Future[Message]] = set()

    def add(self, model: RoutedModel, call: Observed) -> None:
        """Count a call. It belongs to the split of `model`, by which it was assigned, whatever the split is now."""
        window = self.window(model)
        if window is not None:
            window.add(call)

    def started(self, model: RoutedModel, revision: str) -> None:
        """Record that the first reply of a started process has arrived."""
        self._observed(model).starts[revision] = monotonic()

    def is_cold(self, model: RoutedModel, revision: str, began: float) -> bool:
        """Whether a call that began then may have waited for a process that has started since."""
        return began < self._observed(model).starts.get(revision, 0.0)

    def window(self, model: RoutedModel) -> Window | None:
        """The open window of the model's split; None for one with too many arms for an outcome."""
        observed = self._observed(model)
        if observed.model is model and observed.window is not None:
            return observed.window
        if len(model.split) > MOST_ARMS:
            return None
        split = _split_of(model)
        opened = observed.open.get(split)
        if opened is None:
            opened = observed.open[split] = self._open(observed, model, split)
        observed.model, observed.window = model, opened.window
        return opened.window

    async def close(self) -> None:
        """End all windows."""
        for observed in self._models.values():
            for split in list(observed.open):
                self._end(observed, split)
        if self._ending:
            await asyncio.wait(self._ending)
            await asyncio.sleep(0)  # their callbacks are called

    def _observed(self, model: RoutedModel) -> _Observed:
        found = self._models.get(model.name)
        return self._models.setdefault(model.name, _Observed()) if found is None else found

    def _open(self, observed: _Observed, model: RoutedModel, split: _Split) -> _Open:
        if observed.rollout != model.rollout:
            observed.rollout, observed.reported = model.rollout, Reported()
        timer = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end, observed, split)
        return _Open(Window(model, observed.reported), model, time(), monotonic(), timer)

    def _end(self, observed: _Observed, split: _Split) -> None:
        opened = observed.open.pop(split)
        opened.timer.cancel()
        if observed.window is opened.window:
            observed.window = None
        observed.sequence += 1
        # Replies are parsed and keys sorted in another thread.
        encode = partial(_encode, opened, self._instance, observed.sequence, monotonic() - opened.since)
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
