"""The current arms of all models, kept up to date by a watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic

from common.errors import TidegateError
from functions.runtime.errors import NotReady, UnknownModel
from functions.runtime.knative.client import View
from functions.runtime.knative.traffic import Model, model_of

log = logging.getLogger("tidegate.router")

SELECTOR = "app.kubernetes.io/component=model-function"
# Before a watch that a fault of ours has ended is begun anew: long enough not to flood the log.
_PAUSE_SECONDS = 1.0


class Table:
    """`first_view_seconds` bounds how long a request waits for the first list of models."""

    def __init__(self, first_view_seconds: float) -> None:
        self._first_view_seconds = first_view_seconds
        self._loaded = asyncio.Event()
        self._heard_at = monotonic()
        self.models: dict[str, Model] = {}
        self.reasons: dict[str, str] = {}

    @property
    def loaded(self) -> bool:
        return self._loaded.is_set()

    @property
    def age_seconds(self) -> float:
        """Since the API last said anything of the models, or since the start."""
        return monotonic() - self._heard_at

    def heard(self) -> None:
        """The API has said something, if only that nothing has changed."""
        self._heard_at = monotonic()

    async def follow(self, watch: Callable[[], AsyncGenerator[View]]) -> None:
        """For ever. A fault of ours is logged and the watch begun anew: if it just ended, nobody would notice that the arms grow old."""
        while True:
            try:
                async with aclosing(watch()) as views:
                    async for view in views:
                        self.update(view)
            except Exception:
                log.exception("bug: the models could not be followed; their last good arms stay in force, and the watch begins anew")
            await asyncio.sleep(_PAUSE_SECONDS)

    def update(self, view: View) -> None:
        """Take over what the Services say. One that cannot be routed to keeps the arms that it had."""
        gone = (self.models.keys() | self.reasons.keys()) - view.keys()
        for name in gone:
            self.models.pop(name, None)
            self.reasons.pop(name, None)
            log.info("model %s is gone", name)
        for name, service in view.items():
            try:
                self._take(model_of(service))
            except TidegateError as error:
                self._refuse(name, str(error))
        self._loaded.set()

    async def first_view(self) -> None:
        """Wait for the first list of models. Raises NotReady when it does not come."""
        if self.loaded:
            return
        try:
            async with asyncio.timeout(self._first_view_seconds):
                await self._loaded.wait()
        except TimeoutError:
            raise NotReady("the router has not read the list of models yet; try again, and see its log if this stays.") from None

    async def find(self, name: str) -> Model:
        """Raises UnknownModel, and NotReady when the model, or the first list of models, is not there yet."""
        await self.first_view()
        model = self.models.get(name)
        if model is not None:
            return model
        if name in self.reasons:
            raise NotReady(self.reasons[name])
        known = ", ".join(sorted(self.models)) or "none"
        raise UnknownModel(f"there is no model {name} here; known models: {known}.")

    def _take(self, model: Model) -> None:
        self.reasons.pop(model.name, None)
        if self.models.get(model.name) != model:
            self.models[model.name] = model
            log.info("model %s: %s", model.name, model)

    def _refuse(self, name: str, reason: str) -> None:
        if self.reasons.get(name) != reason:
            self.reasons[name] = reason
            log.warning("%s%s", reason, " Its last good arms stay in force." if name in self.models else "")
