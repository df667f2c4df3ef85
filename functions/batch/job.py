"""One batch: a Parquet file is scored by a model into another Parquet file."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from common.http_client import session
from functions.batch.client import Client, Refused
from functions.batch.dataset import Reader, atomic, check_output
from functions.batch.request import BatchRequest
from functions.batch.settings import BatchLimits
from functions.batch.signature import Input, Signature, inputs_in, parse
from functions.batch.sizes import pieces
from functions.batch.tensors import decode, encode, request_bytes
from functions.runtime.protocols.routing import REVISION

# The status of a too large request; a smaller one may succeed.
_TOO_LARGE = 413
_DEFAULT_LIMITS = BatchLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of a running batch."""

    rows: int
    total_rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of a batch; `revisions` are the rows by the revision that scored them, empty without a key."""

    rows: int
    seconds: float
    revisions: dict[str, int]


async def run(
    request: BatchRequest,
    *,
    url: str,
    progress: Callable[[Progress], None] = lambda _: None,
    limits: BatchLimits = _DEFAULT_LIMITS,
    allowed: Sequence[Path] | None = None,
) -> Summary:
    """Score the input through the router at `url`.

    The output has the columns of the input, the model's outputs and, with a key, `revision`. It appears complete or not
    at all, after a cancellation too. Both files are below one of the `allowed` folders; None allows all. Raises
    InvalidPath and InvalidDataset before anything is sent, and any other TidegateError.
    """
    started = time.monotonic()
    rows, revisions = 0, Counter[str]()
    output = check_output(request.output, request.overwrite, allowed)
    async with _prepared(request, url, limits, allowed) as (batch, reader):
        with atomic(output, batch.schema) as writer:
            async with aclosing(batch.scored(reader.chunks(limits.chunk_rows))) as scored:
                async for chunk in scored:
                    await asyncio.to_thread(writer.write, chunk)
                    rows += chunk.num_rows
                    revisions.update(chunk.column(REVISION).to_pylist() if request.key else ())
                    progress(Progress(rows=rows, total_rows=reader.rows, seconds=time.monotonic() - started))
    return Summary(rows=rows, seconds=time.monotonic() - started, revisions=dict(revisions))


@asynccontextmanager
async def _prepared(
    request: BatchRequest, url: str, limits: BatchLimits, allowed: Sequence[Path] | None
) -> AsyncGenerator[tuple[_Batch, Reader]]:
    """Check the file against the model's metadata; the request for it starts a model that is scaled to zero."""
    with closing(Reader(request.input, allowed)) as reader:
        async with session(timeout_seconds=limits.request_timeout_seconds, raw=True) as opened:
            client = Client(url, opened, limits.retry)
            signature = parse(await client.call("GET", f"/v2/models/{quote(request.model, safe='')}"))
            inputs = inputs_in(signature, reader.schema, request.key, request.input)
            yield _Batch(request, client, signature, inputs, reader.schema, limits), reader


class _Batch:
    """A batch in progress: what all chunks share, and the size of requests so far."""

    def __init__(
        self, request: BatchRequest, client: Client, signature: Signature, inputs: list[Input], schema: pa.Schema, limits: BatchLimits
    ) -> None:
        self._key = request.key
        self._client = client
        self._path = f"/v2/models/{quote(request.model, safe='')}/infer"
        self._inputs = inputs
        self._outputs = signature.outputs
        self._in_flight = limits.in_flight
        self._limits = limits
        # Halved when a request is too large, since the next one of this size would be too.
        self._max_rows = limits.chunk_rows
        for output in self._outputs:
            schema = schema.append(output.field)
        self.schema = schema.append(pa.field(REVISION, pa.string())) if request.key else schema

    async def _score(self, chunk: pa.RecordBatch, first_row: int) -> list[pa.RecordBatch]:
        """Return the chunk in parts with the columns of the outputs. `first_row` is its index in the file, from 0."""
        scored: list[pa.RecordBatch] = []
        for part in pieces(chunk, self._load, 1.0):
            scored += await self._score_part(part, first_row)
            first_row += part.num_rows
        return scored

    def _load(self, part: pa.RecordBatch) -> float:
        """Return the share of a request's limits that these rows take: above 1.0 they are too many."""
        json_bytes, binary_bytes = request_bytes(part, self._inputs, self._key)
        limits = self._limits
        rows: int = part.num_rows
        return max(rows / self._max_rows, json_bytes / limits.json_bytes, binary_bytes / limits.binary_bytes)

    async def _score_part(self, part: pa.RecordBatch, first_row: int) -> list[pa.RecordBatch]:
        # Off the event loop: encoding and decoding a thousand rows takes milliseconds.
        body = await asyncio.to_thread(encode, part, self._inputs, self._key, first_row)
        try:
            response = await self._client.call("POST", self._path, body.content, body.headers)
        except Refused as error:
            if error.status == _TOO_LARGE and part.num_rows > 1:
                self._max_rows = min(self._max_rows, (part.num_rows + 1) // 2)
                return await self._score(part, first_row)
            raise Refused(
                f"the model refused {_rows(first_row, part.num_rows)} of the input: {error.message}", error.status, remedy=error.remedy
            ) from None
        columns = await asyncio.to_thread(decode, response, self._outputs, part.num_rows, routed=self._key is not None)
        return [pa.RecordBatch.from_arrays([*part.columns, *columns], self.schema.names)]

    async def scored(self, chunks: Iterator[pa.RecordBatch]) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the scored chunks in the order of the file, with several requests in flight."""
        running: deque[asyncio.Task[list[pa.RecordBatch]]] = deque()
        first_row = 0
        try:
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                running.append(asyncio.create_task(self._score(chunk, first_row)))
                first_row += chunk.num_rows
                if len(running) == self._in_flight:
                    for part in await running.popleft():
                        yield part
            while running:
                for part in await running.popleft():
                    yield part
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _rows(first: int, count: int) -> str:
    return f"row {first}" if count == 1 else f"rows {first} to {first + count - 1}"
