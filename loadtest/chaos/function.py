"""`python -m loadtest.chaos.function PORT`: a model function that fails as it is asked to.

It answers a batch of events as a model function does. `POST /faults` with `{"mode": …, "share": …}` makes it answer
that share of the calls in another way, until it is asked again or restarted.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson
from aiohttp import web

from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem, completed, failed
from eventing.types import INFERENCE_FAILED
from loadtest.chaos.workload import MODEL, score

PATH = f"/models/{MODEL}"
FAULTS = "/faults"
_REJECTED, _FAILED = 422, 503
_LATE_SECONDS = 2.0
_FAILED_EVENTS = 0.05
_RETRY_AFTER_SECONDS = 1


class Mode(StrEnum):
    """How calls are answered."""

    RIGHT = "right"
    GARBAGE = "garbage"
    HALF = "half"
    SHORT = "short"
    SOME = "some"
    SLOW = "slow"
    STATUS_429 = "429"
    STATUS_500 = "500"
    STATUS_503 = "503"
    STATUS_504 = "504"


@dataclass(slots=True)
class Faults:
    mode: Mode = Mode.RIGHT
    share: float = 0.0


def answer_to(event: Event) -> Event:
    """Return the reply of the model: to each delivery of an event the same."""
    data = event.value()
    if data is None:  # from a tombstone, which should not come here
        return completed(event, MODEL, "v1", None)
    if data["reject"]:
        return failed(event, MODEL, Problem(_REJECTED, "rejected", "the model takes no such event."), "v1")
    return completed(event, MODEL, "v1", score(data["number"]))


def application() -> web.Application:
    faults = Faults()

    async def infer(request: web.Request) -> web.StreamResponse:
        mode = faults.mode if random.random() < faults.share else Mode.RIGHT  # noqa: S311 not for secrets
        if mode.value.isdigit():
            headers = {"retry-after": str(_RETRY_AFTER_SECONDS)} if mode is Mode.STATUS_429 else {}
            return web.Response(status=int(mode.value), text="as it was asked to", headers=headers)
        if mode is Mode.SLOW:
            await asyncio.sleep(_LATE_SECONDS)
        replies = [answer_to(event) for event in json.decode_batch(await request.read())]
        return await _respond(request, mode, replies)

    async def change(request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        faults.mode, faults.share = Mode(asked["mode"]), asked["share"]
        return web.Response()

    app = web.Application(client_max_size=2**26)
    app.router.add_post(PATH, infer)
    app.router.add_post(FAULTS, change)
    return app


async def _respond(request: web.Request, mode: Mode, replies: Sequence[Event]) -> web.StreamResponse:
    if mode is Mode.SHORT:
        replies = replies[1:]
    if mode is Mode.SOME:
        replies = [_perhaps_failed(reply) for reply in replies]
    body = b"<html>502 Bad Gateway</html>" if mode is Mode.GARBAGE else json.encode_batch(replies)
    headers = {"content-type": json.BATCH_MEDIA_TYPE, "content-length": str(len(body))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if mode is Mode.HALF:
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write(body)
    await response.write_eof()
    return response


def _perhaps_failed(reply: Event) -> Event:
    if random.random() >= _FAILED_EVENTS:  # noqa: S311 not for secrets
        return reply
    problem = Problem(_FAILED, "unavailable", "the model is not ready for this event.")
    return Event({**reply.attributes, "type": INFERENCE_FAILED}, problem.to_json())


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, shutdown_timeout=1.0)
