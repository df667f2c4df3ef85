"""The flow of rows through the model: read ahead in bounded memory, scored concurrently, written in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from common.room import Room
from functions.batch.run.pieces import Item, Rows
from functions.batch.run.scoring import Scored
from functions.batch.sizes import decoded_bytes

# A row in memory takes its own bytes, those of its request, and those of the block that it is written with.
_COPIES = 3
# Rows of a chunk take at least this much, with the objects around them.
_LEAST_BYTES = 64 * 1024
# An item, the bytes that it holds, and its scores; None at the end.
_Entry = tuple[Item, int, asyncio.Task[Scored] | None] | None
Handle = Callable[[Item, Scored | None], None]


class Flow:
    """Moves items from a reader to a writer; the rows among them are scored on the way.

    `write` gets each item with its scores, in the order of the reader, and runs in a thread; `written` is called on the
    event loop after it. The rooms limit what is in memory.
    """

    def __init__(self, score: Callable[[Rows], Awaitable[Scored]], write: Handle, written: Handle, *, chunks: Room, bytes: Room) -> None:  # noqa: A002
        self._score = score
        self._write = write
        self._written = written
        self._chunks, self._bytes = chunks, bytes

    async def run(self, items: Iterator[Item]) -> None:
        """Move all items. Raises the first error of reader, model or writer, after everything else has stopped."""
        ordered: asyncio.Queue[_Entry] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(items, ordered, group))
                group.create_task(self._drain(ordered))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def _read(self, items: Iterator[Item], ordered: asyncio.Queue[_Entry], group: asyncio.TaskGroup) -> None:
        while (item := await _in_thread(next, items, None)) is not None:
            size, task = 0, None
            if isinstance(item, Rows):
                size = max(_LEAST_BYTES, _COPIES * decoded_bytes(item.batch))
                await self._chunks.take(1)
                await self._bytes.take(size)
                task = group.create_task(_scored(self._score, item))
            ordered.put_nowait((item, size, task))
        ordered.put_nowait(None)

    async def _drain(self, ordered: asyncio.Queue[_Entry]) -> None:
        while (found := await ordered.get()) is not None:
            item, size, task = found
            scored = None if task is None else await task
            await _in_thread(self._write, item, scored)
            self._written(item, scored)
            if size:
                self._chunks.give(1)
                self._bytes.give(size)


async def _in_thread(work: Callable[..., Any], *arguments: object) -> Any:
    """Return what a function returns in a thread; a cancellation waits for its end, since others use the same files."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _scored(score: Callable[[Rows], Awaitable[Scored]], rows: Rows) -> Scored:
    return await score(rows)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group, however deep."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
