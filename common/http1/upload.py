"""A request body that is sent as it arrives, instead of one that is held in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Upload:
    """A body of `length` bytes, of which `begun` have arrived; `rest` returns the next ones, at least one.

    It is sent once: `is_sent` is whether a part of it was.
    """

    def __init__(self, length: int, begun: bytes, rest: Callable[[], Awaitable[bytes]]) -> None:
        self.length = length
        self.is_sent = False
        self._begun = begun
        self._missing = length - len(begun)
        self._rest = rest

    async def next(self) -> bytes:
        """Return the next bytes, none at the end. Raises what `rest` raises."""
        self.is_sent = True
        if self._begun or not self._missing:
            begun, self._begun = self._begun, b""
            return begun
        return await self._receive()

    async def begin(self, size: int) -> bytes:
        """Return the first bytes, at least this many, or all; they are sent nevertheless."""
        chunks = [self._begun]
        arrived = len(self._begun)
        while arrived < size and self._missing:
            chunks.append(await self._receive())
            arrived += len(chunks[-1])
        self._begun = b"".join(chunks)
        return self._begun

    async def _receive(self) -> bytes:
        chunk = await self._rest()
        self._missing -= len(chunk)
        return chunk


# The body of a request.
Content = bytes | Upload


def length_of(body: Content) -> int:
    """Return the bytes of a body."""
    return len(body) if isinstance(body, bytes) else body.length
