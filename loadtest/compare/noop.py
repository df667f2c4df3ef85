"""A no-op server: it answers each POST with the same bytes. `python -m loadtest.compare.noop PORT`.

It shows the limit of the load generator, and the cost of a round trip without any work.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from loadtest.compare.wire import length


def response(media_type: bytes, body: bytes) -> bytes:
    """Return a whole response."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (media_type, len(body), body)


SCORE = response(
    b"application/json", b'{"model_name":"bench","outputs":[{"name":"score","shape":[1],"datatype":"FP32","data":[0.25425482]}]}'
)


class Noop(asyncio.Protocol):
    """A connection whose requests, head and body together, are answered by `answer`."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := length(self._buffer)) is not None and end <= len(self._buffer):
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._transport.write(self._answer(request))


async def serve(port: int, answer: Callable[[bytes], bytes] = lambda _: SCORE) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Noop(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
