"""One batch: a Parquet file through a model into another Parquet file."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from common.http_client import session
from functions.batch.client import Client, Patience, Refused
from functions.batch.dataset import Reader, atomic, check_output
from functions.batch.signature import Input, Signature, inputs_in, parse
from functions.batch.sizes import pieces
from functions.batch.tensors import decode, encode, request_bytes
from functions.runtime.protocols.routing import REVISION

# The status of a request that is too large: a smaller one may pass.
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """`key` names the column with each row's routing key; without it the router sends each chunk to one revision at random."""

    model: str
    input: str
    output: str
    key: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    rows: int
    total_rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """`revisions`: rows by the revision that scored them; empty without a key."""

    rows: int
    seconds: float
    revisions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    # Rows of a request: enough that the prediction dominates it, few enough that its start is not noticed.
    chunk_rows: int = 1_000
    # Bytes of the JSON in a request: below the 4 MiB of JSON that a model function takes (TIDEGATE_MAX_JSON_BYTES).
    json_bytes: int = 3 * 2**20
    # Bytes of the binary tensors in a request: far below the 64 MiB of a body (TIDEGATE_MAX_BODY_BYTES), and read within milliseconds.
    binary_bytes: int = 8 * 2**20
    # Requests at once: two keep the model busy, more let it scale out.
    in_flight: int = 4
    # Seconds of one request, a start from zero included.
    request_seconds: float = 120.0
    patience: Patience = field(default_factory=Patience)


async def run(
    request: BatchRequest,
    *,
    url: str,
    progress: Callable[[Progress], None] = lambda _: None,
    limits: Limits = Limits(),
    allowed: Sequence[Path] | None = None,
) -> Summary:
    """Score the input through the router at `url`; the output has its columns, the model's outputs and, with a key, `revision`.

    Both files are below one of the `allowed` folders; None allows all. Raises InvalidInput before anything is sent when the file does not
    fit the model, and any other TidegateError; the output is there as a whole or not at all, on cancellation too.
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
                    progress(Progress(rows, reader.rows, time.monotonic() - started))
    return Summary(rows, time.monotonic() - started, dict(revisions))


@asynccontextmanager
async def _prepared(
    request: BatchRequest, url: str, limits: Limits, allowed: Sequence[Path] | None
) -> AsyncGenerator[tuple[_Batch, Reader]]:
    """Holds the file against the model's signature, asking for which starts the model if it is at zero."""
    with closing(Reader(request.input, allowed)) as reader:
        async with session(timeout_seconds=limits.request_seconds, raw=True) as opened:
            client = Client(url, opened, limits.patience)
            signature = parse(await client.call("GET", f"/v2/models/{quote(request.model, safe='')}"))
            inputs = inputs_in(signature, reader.schema, request.key, request.input)
            yield _Batch(request, client, signature, inputs, reader.schema, limits), reader


class _Batch:
    """What is the same for every chunk."""

    def __init__(
        self, request: BatchRequest, client: Client, signature: Signature, inputs: list[Input], schema: pa.Schema, limits: Limits
    ) -> None:
        self._key = request.key
        self._client = client
        self._path = f"/v2/models/{quote(request.model, safe='')}/infer"
        self._inputs = inputs
        self._outputs = signature.outputs
        self._in_flight = limits.in_flight
        self._limits = limits
        # Halved when the model says that a request is too large: it will say so of the next one, too.
        self._most_rows = limits.chunk_rows
        for output in self._outputs:
            schema = schema.append(output.field)
        self.schema = schema.append(pa.field(REVISION, pa.string())) if request.key else schema

    async def _score(self, chunk: pa.RecordBatch, first_row: int) -> list[pa.RecordBatch]:
        """The chunk in parts, each with the outputs' columns. `first_row` is its place in the file, from 0."""
        scored: list[pa.RecordBatch] = []
        for part in pieces(chunk, self._load, 1.0):
            scored += await self._score_part(part, first_row)
            first_row += part.num_rows
        return scored

    def _load(self, part: pa.RecordBatch) -> float:
        """How much of what a request may have these rows take: above 1.0 they are too many."""
        json_bytes, binary_bytes = request_bytes(part, self._inputs, self._key)
        limits = self._limits
        rows: int = part.num_rows
        return max(rows / self._most_rows, json_bytes / limits.json_bytes, binary_bytes / limits.binary_bytes)

    async def _score_part(self, part: pa.RecordBatch, first_row: int) -> list[pa.RecordBatch]:
        # Off the event loop: a thousand rows take milliseconds each way.
        body = await asyncio.to_thread(encode, part, self._inputs, self._key, first_row)
        try:
            answer = await self._client.call("POST", self._path, body.content, body.headers)
        except Refused as error:
            if error.status == _TOO_LARGE and part.num_rows > 1:
                self._most_rows = min(self._most_rows, (part.num_rows + 1) // 2)
                return await self._score(part, first_row)
            raise Refused(f"the model refused {_rows(first_row, part.num_rows)} of the input: {error}", error.status) from None
        columns = await asyncio.to_thread(decode, answer, self._outputs, part.num_rows, routed=self._key is not None)
        return [pa.RecordBatch.from_arrays([*part.columns, *columns], self.schema.names)]

    async def scored(self, chunks: Iterator[pa.RecordBatch]) -> AsyncGenerator[pa.RecordBatch]:
        """The scored chunks in the order of the file, some of them being worked on."""
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
