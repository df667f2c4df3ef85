"""The table of all models and their arms, kept up to date by a watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic

from common.errors import TidegateError
from functions.runtime.errors import NotReady, UnknownModel
from functions.runtime.knative.client import View
from functions.runtime.knative.traffic import RoutedModel, model_of

log = logging.getLogger("tidegate.router")

SELECTOR = "app.kubernetes.io/component=model-function"
# Before a watch that a bug has ended is restarted: long enough not to flood the log.
_PAUSE_SECONDS = 1.0


class Table:
    """The models by name, and the reasons of those that cannot be routed to.

    `first_view_seconds` limits how long a request waits for the first list of models.
    """

    def __init__(self, first_view_seconds: float) -> None:
        self._first_view_seconds = first_view_seconds
        self._loaded = asyncio.Event()
        self._touched_at = monotonic()
        self.models: dict[str, RoutedModel] = {}
        self.reasons: dict[str, str] = {}

    @property
    def loaded(self) -> bool:
        """Whether the first list of models has arrived."""
        return self._loaded.is_set()

    @property
    def age_seconds(self) -> float:
        """Seconds since the last response of the API, or since the start."""
        return monotonic() - self._touched_at

    def touch(self) -> None:
        """Record a response of the API, even one without changes."""
        self._touched_at = monotonic()

    async def follow(self, watch: Callable[[], AsyncGenerator[View]]) -> None:
        """Follow a watch without end.

        A bug is logged and the watch restarted: otherwise the arms would become stale unnoticed.
        """
        while True:
            try:
                async with aclosing(watch()) as views:
                    async for view in views:
                        self.update(view)
            except Exception:
                log.exception("bug: the watch of the models failed; keeping the last known arms and restarting it")
            await asyncio.sleep(_PAUSE_SECONDS)

    def update(self, view: View) -> None:
        """Update the models from their Services. One that cannot be routed to keeps the last known arms."""
        deleted = (self.models.keys() | self.reasons.keys()) - view.keys()
        for name in deleted:
            self.models.pop(name, None)
            self.reasons.pop(name, None)
            log.info("model %s was deleted", name)
        for name, service in view.items():
            try:
                self._take(model_of(service))
            except TidegateError as error:
                self._refuse(name, str(error))
        self._loaded.set()

    async def loading(self) -> None:
        """Wait for the first list of models, however long it takes."""
        await self._loaded.wait()

    async def first_view(self) -> None:
        """Wait for the first list of models. Raises NotReady when it does not arrive in time."""
        if self.loaded:
            return
        try:
            async with asyncio.timeout(self._first_view_seconds):
                await self.loading()
        except TimeoutError:
            raise NotReady("the router has not read the list of models yet", remedy="retry, and see its log if this persists") from None

    async def find(self, name: str) -> RoutedModel:
        """The model of this name.

        Raises UnknownModel, and NotReady when it cannot be routed to or no list has arrived.
        """
        await self.first_view()
        model = self.models.get(name)
        if model is not None:
            return model
        if name in self.reasons:
            raise NotReady(self.reasons[name])
        known = ", ".join(sorted(self.models)) or "none"
        raise UnknownModel(f"unknown model {name}; known models: {known}.")

    def _take(self, model: RoutedModel) -> None:
        self.reasons.pop(model.name, None)
        if self.models.get(model.name) != model:
            self.models[model.name] = model
            log.info("model %s: %s", model.name, model)
            for warning in model.warnings:
                log.warning(warning)

    def _refuse(self, name: str, reason: str) -> None:
        if self.reasons.get(name) != reason:
            self.reasons[name] = reason
            log.warning("%s%s", reason, " Keeping its last known arms." if name in self.models else "")
