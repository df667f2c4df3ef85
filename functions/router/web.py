"""What the functions' HTTP applications share: bodies with a limit, JSON answers, and errors as their protocol wants them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from eventing.errors import TidegateError
from eventing.reply import PROBLEM_MEDIA_TYPE, Problem
from functions.runtime.errors import Overloaded, TooLarge, log_bug, status_of

RETRY_AFTER_SECONDS = "1"


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to pass the limit, in bytes."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body has {declared} bytes; at most {limit} fit: send several requests.")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes: send several requests.")
        chunks.append(chunk)
    return b"".join(chunks)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """A problem (RFC 9457) as the answer to an event."""
    return Response(orjson.dumps(problem.to_json()), problem.status, _retry_after(problem.status), media_type=PROBLEM_MEDIA_TYPE)


async def on_domain_error(request: Request, error: Exception) -> Response:
    """`{"error": "<one sentence>"}`, as the Open Inference Protocol has it."""
    assert isinstance(error, TidegateError)  # noqa: S101 Starlette hands over what it was registered for
    status = status_of(error)
    return json_response({"error": str(error)}, status, _retry_after(status))


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    detail = {404: f"there is nothing at {request.url.path}.", 405: f"{request.method} is not for {request.url.path}."}
    return json_response({"error": detail.get(error.status_code, error.detail)}, error.status_code, dict(error.headers or {}))


async def on_bug(request: Request, error: Exception) -> Response:
    """A fault of ours: the caller gets an id that the log has too."""
    # The error goes on to the server, which closes the connection: whoever holds it must not send another request.
    return json_response({"error": log_bug(error, f"{request.method} {request.url.path}")}, 500, {"connection": "close"})


async def on_disconnect(request: Request, error: Exception) -> Response:
    """Nobody reads this: the caller went away before the body was whole."""
    return Response(status_code=400)


EXCEPTION_HANDLERS = {TidegateError: on_domain_error, HTTPException: on_http_error, ClientDisconnect: on_disconnect, Exception: on_bug}


def _retry_after(status: int) -> dict[str, str] | None:
    return {"retry-after": RETRY_AFTER_SECONDS} if status == status_of(Overloaded("")) else None
