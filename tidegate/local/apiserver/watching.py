"""Watches: the changes of a resource as a stream of events, one line each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import orjson
from aiohttp import web

from tidegate.local.apiserver.selector import Predicate
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.objects.validation import Object

Present = Callable[[Object], Object]
"""Turn an object into what this client gets."""


async def stream(request: web.Request, store: Store, resource: str, selects: Predicate, present: Present) -> web.StreamResponse:
    """Write the events of a watch until the client disconnects, or the time that it asks for is over."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    seconds = request.query.get("timeoutSeconds", "")
    try:
        async with asyncio.timeout(int(seconds) if seconds.isdigit() and int(seconds) else None):
            async with aclosing(_events(store, resource, request.query.get("resourceVersion", ""), selects, present)) as events:
                async for event in events:
                    await response.write(orjson.dumps(event) + b"\n")
    except TimeoutError:
        await response.write_eof()
    except ConnectionError:
        pass  # the client has disconnected
    return response


async def _events(store: Store, resource: str, since: str, selects: Predicate, present: Present) -> AsyncGenerator[Object]:
    """Yield the events of a watch. Without a version, or with 0, the existing objects are sent first.

    For this watcher, an object that no longer matches is DELETED.
    """
    start = int(since) if since.isdigit() else 0
    matching = [item for item in store.list(resource) if selects(item)]
    seen = {_identity(item) for item in matching}
    if start == 0:
        start = store.version
        for item in matching:
            yield {"type": "ADDED", "object": present(item)}
    try:
        async for change in store.watch(resource, start):
            type_ = _event_type(change, selects(change.object), seen)
            if type_:
                yield {"type": type_, "object": present(change.object)}
    except StatusError as failure:
        yield {"type": "ERROR", "object": failure.to_json()}


def _identity(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _event_type(change: Change, matches: bool, seen: set[tuple[str, str]]) -> str | None:
    identity = _identity(change.object)
    known = identity in seen
    if change.type == "DELETED" or not matches:
        seen.discard(identity)
        return "DELETED" if known else None
    seen.add(identity)
    return "MODIFIED" if known and change.type == "MODIFIED" else "ADDED"
