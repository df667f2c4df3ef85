"""A TCP proxy on loopback whose network can stall, drop, or be slow, and hold back single requests of Kafka's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Collection
from enum import IntEnum

_CHUNK = 64 * 1024
_LENGTH = struct.Struct(">i")
_API_KEY = struct.Struct(">h")


class Api(IntEnum):
    """Requests of Kafka's protocol, by their keys."""

    PRODUCE = 0
    END_TXN = 26


class Proxy:
    """Connections to one port of this machine, between `start` and `close`.

    With `frames`, what clients send is read as requests of Kafka's protocol.
    """

    def __init__(self, port: int, *, frames: bool = False, listen: int = 0) -> None:
        self._target = port
        self._frames = frames
        self._listen = listen
        self._passing = asyncio.Event()
        self._passing.set()
        self._unheld = asyncio.Event()
        self._unheld.set()
        self._held: frozenset[int] = frozenset()
        self._dropping = False
        self._delay = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.held = 0
        """How many requests were held back."""

    @property
    def port(self) -> int:
        """The port that it listens on, once it is started."""
        if self._server is None:
            raise RuntimeError("the proxy was not started.")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listen)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.heal()
        self._abort()
        await asyncio.sleep(0)

    def stall(self) -> None:
        """Let nothing pass in both directions; connections stay open."""
        self._passing.clear()

    def drop(self) -> None:
        """Reset all connections, and new ones at once."""
        self._dropping = True
        self._abort()

    def delay(self, seconds: float) -> None:
        """Let everything pass that much later."""
        self._delay = seconds

    def hold(self, keys: Collection[int]) -> None:
        """Hold back these requests, and what follows them on their connections."""
        self._held = frozenset(keys)
        self._unheld.clear()

    def heal(self) -> None:
        """Let everything pass again."""
        self._dropping, self._delay, self._held = False, 0.0, frozenset()
        self._passing.set()
        self._unheld.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        target: asyncio.StreamWriter | None = None
        try:
            if self._dropping:
                return
            answers, target = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(target)
            read = _frame if self._frames else _chunk
            pumps = [asyncio.create_task(self._pump(reader, target, read)), asyncio.create_task(self._pump(answers, writer, _chunk))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            return  # nothing listens there now
        finally:
            for end in (writer, target):
                if end is not None:
                    self._writers.discard(end)
                    # Not closed, which would wait for an end that reads nothing.
                    end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Callable[[asyncio.StreamReader], Awaitable[bytes]]
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await read(reader):
                if self._delay:
                    await asyncio.sleep(self._delay)
                if read is _frame and _API_KEY.unpack_from(data, _LENGTH.size)[0] in self._held:
                    self.held += 1
                    await self._unheld.wait()
                await self._passing.wait()
                writer.write(data)
                await writer.drain()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    return await reader.read(_CHUNK)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(_LENGTH.size)
    return length + await reader.readexactly(_LENGTH.unpack(length)[0])
