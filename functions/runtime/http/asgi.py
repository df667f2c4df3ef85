"""Requests and responses on plain ASGI: bounded bodies, JSON, and error responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import orjson

from eventing.reply import PROBLEM_MEDIA_TYPE, Problem
from functions.runtime.errors import ClientGone, TooLarge
from functions.runtime.inference.budget import LARGE_ANSWER_BYTES, Budget
from functions.runtime.inference.failure import Failure

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
_RETRY_AFTER_SECONDS = b"1"
CLOSE = ((b"connection", b"close"),)
COLD = b"tidegate-cold"
"""A header of the replies of a new process: the request may have waited for its start. The router counts it apart."""


@dataclass(slots=True)
class Answer:
    """An HTTP response whose body is in memory."""

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
            # The server pauses a writer until the client has read what was written: the last, empty message waits for
            # that.
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def json_answer(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(orjson.dumps(value), status, JSON, headers)


def error_answer(detail: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Make the error response of the Open Inference Protocol: `{"error": "<one sentence>"}`."""
    return json_answer({"error": detail}, status, headers or _retry_after(status))


def problem_answer(problem: Problem) -> Answer:
    """Make the error response to an event: a problem (RFC 9457)."""
    return Answer(orjson.dumps(problem.to_json()), problem.status, PROBLEM_MEDIA_TYPE.encode(), _retry_after(problem.status))


def failure_answer(failure: Failure, *, is_event: bool = False) -> Answer:
    """Make the response of a failed call: a problem to an event, otherwise an error of the Open Inference Protocol."""
    if is_event:
        return problem_answer(failure.problem)
    return error_answer(failure.detail, failure.status, CLOSE if failure.closes else ())


async def read_body(receive: Receive, declared: bytes | None, limit: int, budget: Budget) -> bytes:
    """Read the whole body and take its bytes from the budget.

    `declared` is the value of Content-Length, `limit` is in bytes. Raises TooLarge as soon as the body is known to
    exceed the limit, Overloaded, and ClientGone.
    """
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(int(declared), limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(len(body), limit)
        budget.take(len(body))
        return body
    return await _read_rest(receive, message, limit, budget)


async def _read_rest(receive: Receive, message: Message, limit: int, budget: Budget) -> bytes:
    body, size = BytesIO(), 0  # its getvalue makes no copy, which would take twice the memory for a moment
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            budget.take(len(chunk), size)
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body has more than {limit} bytes", remedy="send several requests")
            body.write(chunk)
            if not message.get("more_body"):
                return body.getvalue()
            message = await receive()
    except BaseException:
        budget.give(size)
        raise


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"the body has {size} bytes, more than the limit of {limit}", remedy="send several requests")


def _retry_after(status: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"retry-after", _RETRY_AFTER_SECONDS),) if status == 429 else ()
