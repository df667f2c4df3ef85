"""Where rows are scored: by a service, or in this process. Each is a value; what it opens is shared by all calls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common.adaptive_limit import AdaptiveLimit
from common.http_client import session
from functions.batch.client import Client, Exchange
from functions.batch.run.gate import Gate
from functions.batch.run.scoring import model_path
from functions.batch.settings import BatchLimits
from functions.batch.signature import Signature, parse
from tidegate.frames.background import background
from tidegate.frames.local import LocalModel, open_model

_REVISION = "Tidegate-Revision"


class Opened(NamedTuple):
    """What answers requests, and the gate in front of it."""

    exchange: Exchange
    gate: Gate


@dataclass(frozen=True, kw_only=True)
class Service:
    """The models behind the router at `url`."""

    url: str
    limits: BatchLimits

    async def open(self) -> Opened:
        """Return the session of this process, and the gate, which all of its threads share."""
        return await background().share(self, self._open)

    async def describe(self, model: str, revision: str | None, version: str | None) -> Signature:
        """Return a model's inputs and outputs. Raises as `Client.exchange` and `parse` do."""
        exchange, _ = await self.open()
        response = await exchange.exchange("GET", model_path(model, version), None, {_REVISION: revision} if revision else {})
        return parse(response.content)

    async def _open(self, stack: AsyncExitStack) -> Opened:
        opened = await stack.enter_async_context(session(timeout_seconds=self.limits.request_timeout_seconds, raw=True))
        return Opened(Client(self.url, opened, self.limits.retry), Gate(AdaptiveLimit(self.limits.in_flight)))


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A model whose card is at `card`, a path in every worker; its sha256 and that in it make the model the same there."""

    card: Path
    sha256: str
    limits: BatchLimits

    async def open(self) -> Opened:
        """Return the model of this process, with a gate for each caller: engines run as many as they have cores for."""
        return Opened(await background().share(self, self._load), Gate(AdaptiveLimit(1)))

    async def describe(self, model: str, revision: str | None, version: str | None) -> Signature:  # its card is the model's
        """Return the model's inputs and outputs."""
        loaded = await background().share(self, self._load)
        return parse(loaded.metadata())

    async def _load(self, _: AsyncExitStack) -> LocalModel:
        return await asyncio.to_thread(open_model, self.card, self.sha256)
