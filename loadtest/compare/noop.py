"""A no-op server: it answers each POST with the same bytes. `python -m loadtest.compare.noop PORT`.

It shows the limit of the load generator, and the cost of a round trip without any work.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from loadtest.compare.wire import length

_BODY = b'{"model_name":"bench","outputs":[{"name":"score","shape":[1],"datatype":"FP32","data":[0.25425482]}]}'
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Noop(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := length(self._buffer)) is not None and end <= len(self._buffer):
            self._buffer = self._buffer[end:]
            self._transport.write(_ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Noop, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
