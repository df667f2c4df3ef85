"""Calls of the arms that a starting router is about to need, so that its start from zero and theirs overlap."""

from __future__ import annotations

import asyncio
import logging

from common.errors import TidegateError
from functions.router.table import Table
from functions.router.upstream import Upstream
from functions.runtime.knative.traffic import Arm

log = logging.getLogger("tidegate.router")

_HEALTH = "/v2/health/ready"
_HEADERS = [(b"user-agent", b"tidegate")]
# The activator holds the call until the arm has started.
_SECONDS = 60.0
_MOST_REPLY_BYTES = 64 * 1024


async def wake(table: Table, upstream: Upstream) -> None:
    """Once the first list of models is there, call each arm of the split of the models that wake with the router.

    The calls only start the arms: their failures are those of the requests that follow, which are retried and reported.
    """
    await table.loading()
    models = [model for model in table.models.values() if model.wakes_with_router]
    await asyncio.gather(*(_call(upstream, arm) for model in models for arm in model.split))


async def _call(upstream: Upstream, arm: Arm) -> None:
    try:
        reply = await upstream.call(arm, "GET", _HEALTH, _HEADERS, b"", _SECONDS)
        await reply.read(_MOST_REPLY_BYTES, lambda _: None)
    except TidegateError as error:
        log.info("waking with the router: %s", error)
