"""A server that does nothing but answer: `python -m loadtest.router.upstream PORT`.

It answers a batch of events with an event for each, and any other body with the same bytes. What it has answered once
it does not compute again.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import orjson
import uvloop

from loadtest.compare.wire import length

_OUTPUT = b'{"model_name":"bench","outputs":[{"name":"score","shape":[1],"datatype":"FP32","data":[0.25425482]}]}'
_BATCH = b"application/cloudevents-batch+json"
_MOST = 64


def answer(body: bytes) -> bytes:
    """Return the whole response to a body."""
    if not body.startswith(b"["):
        return _response(b"application/json", _OUTPUT)
    replies = [
        {
            "specversion": "1.0",
            "id": f"reply-{event['id']}",
            "source": "/models/flights",
            "type": "done",
            "causationid": event["id"],
            "partitionkey": event["partitionkey"],
            "data": {"delay": 12.5, "late": False},
        }
        for event in orjson.loads(body)
    ]
    return _response(_BATCH, orjson.dumps(replies))


def _response(media_type: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (media_type, len(body), body)


class Upstream(asyncio.Protocol):
    answers: dict[bytes, bytes] = {}  # noqa: RUF012 shared by all connections

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := length(self._buffer)) is not None and end <= len(self._buffer):
            message, self._buffer = self._buffer[:end], self._buffer[end:]
            body = message.partition(b"\r\n\r\n")[2]
            found = self.answers.get(body)
            if found is None:
                found = answer(body)
                if len(self.answers) < _MOST:
                    self.answers[body] = found
            self._transport.write(found)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
