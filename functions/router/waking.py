"""Calls of the arms that a starting router is about to need, so that its start from zero and theirs overlap.

A thread makes them while the rest of the router is imported, which takes longer than all that is needed for them.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from threading import Thread
from time import monotonic

from common.errors import TidegateError
from common.http1.errors import CallFailed
from common.http1.origin import origin_of
from common.http1.pool import Pool
from functions.router.table import SELECTOR
from functions.runtime.knative.client import Access, Client, View
from functions.runtime.knative.objects import SERVICES
from functions.runtime.knative.traffic import Arm, RoutedModel, model_of

log = logging.getLogger("tidegate.router")

_HEALTH = "/v2/health/ready"
_HEADERS = [(b"user-agent", b"tidegate")]
# The activator holds the call until the arm has started.
_SECONDS = 60.0


def start(access: Access) -> None:
    """Wake, in another thread, the arms of the models that wake with the router. A process that ends does not wait for it."""
    Thread(target=lambda: asyncio.run(_wake(access)), name="waking", daemon=True).start()


async def _wake(access: Access) -> None:
    """Call each arm of their split once.

    The calls only start the arms: their failures are those of the requests that follow, which are retried and reported.
    """
    async with Client(access) as client, aclosing(client.watch(SERVICES, SELECTOR)) as views:
        view = await anext(views)  # the first list, however long it takes
    pool = Pool()
    try:
        await asyncio.gather(*(_call(pool, arm) for model in _models(view) if model.wakes_with_router for arm in model.split))
    finally:
        await pool.close()


def _models(view: View) -> list[RoutedModel]:
    models = []
    for service in view.values():
        try:
            models.append(model_of(service))
        except TidegateError:  # the table says why it cannot be routed to
            continue
    return models


async def _call(pool: Pool, arm: Arm) -> None:
    try:
        reply = await pool.call(origin_of(arm.url), "GET", _HEALTH, _HEADERS, b"", monotonic() + _SECONDS)
        reply.close()
        if reply.status >= 500:
            log.info("waking with the router: revision %s answered %d", arm.revision, reply.status)
    except (CallFailed, TimeoutError) as error:
        log.info("waking with the router: revision %s at %s: %s", arm.revision, arm.url, str(error) or "no answer in time")
