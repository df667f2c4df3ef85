"""One batch: a Parquet file through a model into another Parquet file."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from urllib.parse import quote

import pyarrow as pa

from eventing.http import session
from functions.batch.client import Client, Patience, Refused
from functions.batch.dataset import Reader, atomic, check_output
from functions.batch.signature import Input, Signature, inputs_in, parse
from functions.batch.tensors import decode, encode
from functions.runtime.protocols.routing import REVISION


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
) -> Summary:
    """Score the input through the router at `url`; the output has its columns, the model's outputs and, with a key, `revision`.

    Raises InvalidInput before anything is sent when the file does not fit the model, and any other TidegateError; the output is
    there as a whole or not at all, on cancellation too.
    """
    started = time.monotonic()
    rows, revisions = 0, Counter[str]()
    async with _prepared(request, url, limits) as (batch, reader):
        with atomic(request.output, batch.schema) as writer:
            async with aclosing(batch.scored(reader.chunks(limits.chunk_rows), limits.in_flight)) as scored:
                async for chunk in scored:
                    await asyncio.to_thread(writer.write, chunk)
                    rows += chunk.num_rows
                    revisions.update(chunk.column(REVISION).to_pylist() if request.key else ())
                    progress(Progress(rows, reader.rows, time.monotonic() - started))
    return Summary(rows, time.monotonic() - started, dict(revisions))


@asynccontextmanager
async def _prepared(request: BatchRequest, url: str, limits: Limits) -> AsyncGenerator[tuple[_Batch, Reader]]:
    """Holds the file against the model's signature, asking for which starts the model if it is at zero."""
    check_output(request.output, request.overwrite)
    with closing(Reader(request.input)) as reader:
        async with session(timeout_seconds=limits.request_seconds) as opened:
            client = Client(url, opened, limits.patience)
            signature = parse(await client.call("GET", f"/v2/models/{quote(request.model, safe='')}"))
            inputs = inputs_in(signature, reader.schema, request.key, request.input)
            yield _Batch(request, client, signature, inputs, reader.schema), reader


class _Batch:
    """What is the same for every chunk."""

    def __init__(self, request: BatchRequest, client: Client, signature: Signature, inputs: list[Input], schema: pa.Schema) -> None:
        self._key = request.key
        self._client = client
        self._path = f"/v2/models/{quote(request.model, safe='')}/infer"
        self._inputs = inputs
        self._outputs = signature.outputs
        for output in self._outputs:
            schema = schema.append(output.field)
        self.schema = schema.append(pa.field(REVISION, pa.string())) if request.key else schema

    async def _score(self, chunk: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """The chunk with the outputs' columns. `first_row` is its place in the file, from 0."""
        # Off the event loop: a thousand rows take milliseconds each way.
        body = await asyncio.to_thread(encode, chunk, self._inputs, self._key, first_row)
        try:
            answer = await self._client.call("POST", self._path, body)
        except Refused as error:
            raise Refused(f"the model refused rows {first_row} to {first_row + chunk.num_rows - 1} of the input: {error}") from None
        columns = await asyncio.to_thread(decode, answer, self._outputs, chunk.num_rows, routed=self._key is not None)
        return pa.RecordBatch.from_arrays([*chunk.columns, *columns], schema=self.schema)

    async def scored(self, chunks: Iterator[pa.RecordBatch], in_flight: int) -> AsyncGenerator[pa.RecordBatch]:
        """The scored chunks in the order of the file, `in_flight` of them being worked on."""
        running: deque[asyncio.Task[pa.RecordBatch]] = deque()
        first_row = 0
        try:
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                running.append(asyncio.create_task(self._score(chunk, first_row)))
                first_row += chunk.num_rows
                if len(running) == in_flight:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
