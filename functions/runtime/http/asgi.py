"""Requests and answers on plain ASGI: bodies within limits, JSON, and what becomes of an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import orjson

from eventing.reply import PROBLEM_MEDIA_TYPE, Problem
from functions.runtime.errors import Overloaded, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
_RETRY_AFTER_SECONDS = b"1"
# A smaller answer is left to the server's and the system's buffers; waiting for it would cost more than its bytes.
LARGE_ANSWER_BYTES = 32 * 1024


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class Answer:
    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        length = str(len(self.body)).encode()
        headers = [(b"content-type", self.content_type), (b"content-length", length), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if len(self.body) < LARGE_ANSWER_BYTES:
            await send({"type": "http.response.body", "body": self.body})
        else:
            # The server sends nothing more before the client has taken what was written: the last message, which is empty, waits for that.
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


class Budget:
    """Bytes of bodies that may be in memory at once, over all requests and their answers: what a burst of large ones may take of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.used = 0

    def take(self, size: int, held: int = 0) -> None:
        """`held` is what the request has taken already. Raises Overloaded when there is no room; a request alone is never refused."""
        if self.used > held and self.used + size > self._total:
            raise Overloaded(f"requests of {self.used} bytes are being answered; send this request again a little later.")
        self.used += size

    def replace(self, size: int, by: int) -> None:
        """Correct what was taken by an estimate, now that the size is known; this refuses nothing, since the bytes are there."""
        self.used += by - size

    def give(self, size: int) -> None:
        self.used -= size


def json_answer(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(orjson.dumps(value), status, JSON, headers)


def error_answer(detail: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """`{"error": "<one sentence>"}`, as the Open Inference Protocol has it."""
    return json_answer({"error": detail}, status, headers or _retry_after(status))


def problem_answer(problem: Problem) -> Answer:
    """A problem (RFC 9457) as the answer to an event."""
    return Answer(orjson.dumps(problem.to_json()), problem.status, PROBLEM_MEDIA_TYPE.encode(), _retry_after(problem.status))


async def read_body(receive: Receive, declared: bytes | None, limit: int, budget: Budget) -> bytes:
    """The whole body, whose bytes are then taken from the budget. Raises TooLarge as soon as it is known to pass the limit."""
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body has {int(declared)} bytes; at most {limit} fit: send several requests.")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"the body has {len(body)} bytes; at most {limit} fit: send several requests.")
        budget.take(len(body))
        return body
    return await _read_rest(receive, message, limit, budget)


async def _read_rest(receive: Receive, message: Message, limit: int, budget: Budget) -> bytes:
    body, size = BytesIO(), 0  # which gives its bytes away without a copy: for a moment, that would take twice the memory
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            budget.take(len(chunk), size)
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body has more than {limit} bytes: send several requests.")
            body.write(chunk)
            if not message.get("more_body"):
                return body.getvalue()
            message = await receive()
    except BaseException:
        budget.give(size)
        raise


def _retry_after(status: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"retry-after", _RETRY_AFTER_SECONDS),) if status == 429 else ()
