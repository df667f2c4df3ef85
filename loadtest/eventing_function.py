"""The subscriber of `loadtest.eventing`: a function that notes how long each event took to reach it.

POST takes an event whose data is the time at which it was sent; GET returns the durations since the last GET, in
milliseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_durations: list[float] = []


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, answer = 204, b""
    if scope["method"] == "POST":
        _durations.append((time.monotonic_ns() - orjson.loads(body)["sent"]) / 1e6)
    else:
        status, answer = 200, orjson.dumps(_durations)
        _durations.clear()
    headers = [(b"content-length", str(len(answer)).encode())] if answer else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", lifespan="off")
