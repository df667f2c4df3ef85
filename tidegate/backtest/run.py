"""One backtest: rows are read, scored by both revisions, and compared with their outcomes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from common.http_client import session
from functions.batch.client import Client
from functions.batch.errors import InvalidDataset
from functions.batch.settings import BatchLimits
from functions.batch.sizes import pieces
from functions.batch.storage import EVERYTHING, Piece, Source, open_source
from tidegate.backtest import outcomes
from tidegate.backtest.analysis import Analysis, analyse
from tidegate.backtest.groups import SliceColumn, check_column, cluster_codes
from tidegate.backtest.outcomes import Count
from tidegate.backtest.revisions import PinnedRevision, check_different, find
from tidegate.backtest.sample import Sample, SampleBuilder
from tidegate.backtest.scoring import Scorer, inputs_of, score_output

# Of rows that are read ahead of the model.
_MEMORY_BYTES = 64 * 2**20
# More rows in a request than a batch has: only the latency of a canary's other callers speaks for fewer.
_LIMITS = BatchLimits(chunk_rows=4_000)
_NO_TYPES: Mapping[str, pa.DataType] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRequest:
    """What is compared. `first` and `second` are revisions, tags or versions; `score` names an output."""

    model: str
    first: str
    second: str
    input: str
    label: str
    slices: tuple[str, ...] = ()
    cluster: str | None = None
    score: str | None = None
    drop_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A finished comparison. `dropped` are the rows with an unknown outcome."""

    request: BacktestRequest
    first: PinnedRevision
    second: PinnedRevision
    score: str
    dropped: int
    analysis: Analysis
    seconds: float


class _Rows(NamedTuple):
    """Rows of one file; `first_row` counts from 0."""

    batch: pa.RecordBatch
    place: str
    first_row: int


async def run(request: BacktestRequest, *, url: str, progress: Callable[[int, int], None] = lambda done, total: None) -> Backtest:
    """Score all rows of the input by both revisions through the router at `url`, and compare.

    Outcomes and slices are read and checked first, so that nothing is scored in vain. `progress` gets the rows that are scored,
    and all rows. Raises TidegateError.
    """
    started = time.monotonic()
    schema = (await asyncio.to_thread(_opened, request)).schema
    _check_columns(request, schema)
    columns = [SliceColumn(name) for name in request.slices]
    count = await asyncio.to_thread(_count, request, columns)
    count.check(request.label, request.input, drop_unknown=request.drop_unknown)
    async with session(timeout_seconds=_LIMITS.request_timeout_seconds, raw=True) as opened:
        client = Client(url, opened, _LIMITS.retry)
        revisions = [await find(client, request.model, name) for name in (request.first, request.second)]
        first, second = revisions
        check_different(first, second)
        source = await asyncio.to_thread(_source, request, schema, revisions)
        scorers = [_scorer(client, revision, request, source.schema) for revision in revisions]
        collector = _Collector(request, scorers, columns)
        scored = 0
        async with aclosing(_in_order(_rows(source), collector.scored)) as samples:
            async for rows, sample in samples:
                collector.builder.add(sample)
                scored += rows
                progress(scored, count.rows)
    analysis = await asyncio.to_thread(analyse, collector.builder.build(), columns)
    return Backtest(
        request=request,
        first=first,
        second=second,
        score=score_output(second.signature, request.score, second.title).name,
        dropped=count.unknown,
        analysis=analysis,
        seconds=time.monotonic() - started,
    )


class _Collector:
    """Turns rows into samples."""

    def __init__(self, request: BacktestRequest, scorers: Sequence[Scorer], columns: Sequence[SliceColumn]) -> None:
        self._request = request
        self._scorers = scorers
        self._columns = columns
        self.builder = SampleBuilder()

    async def scored(self, rows: _Rows) -> tuple[int, Sample]:
        """Score rows by both revisions at once; returns how many, and the sample of those with a known outcome."""
        request, batch = self._request, rows.batch
        first, second = await asyncio.gather(*(scorer.score(batch, rows.first_row) for scorer in self._scorers))
        true, known = outcomes.read(batch.column(request.label), request.label, rows.place, rows.first_row)
        slices = {column.name: column.codes(batch.column(column.name)) for column in self._columns}
        clusters = cluster_codes(batch.column(request.cluster), request.cluster) if request.cluster else None
        return batch.num_rows, Sample(true, first, second, slices, clusters).where(known)


def _scorer(client: Client, revision: PinnedRevision, request: BacktestRequest, schema: pa.Schema) -> Scorer:
    output = score_output(revision.signature, request.score, revision.title)
    return Scorer(client, revision, inputs_of(revision.signature, schema, request.input), output, _LIMITS)


def _opened(request: BacktestRequest, columns: list[str] | None = None, types: Mapping[str, pa.DataType] = _NO_TYPES) -> Source:
    """Open the input; a user's own command may read what the user may."""
    return open_source(request.input, columns=columns, types=types, policy=EVERYTHING, memory_bytes=_MEMORY_BYTES)


def _source(request: BacktestRequest, schema: pa.Schema, revisions: Sequence[PinnedRevision]) -> Source:
    """Open the columns that are needed, in the types of the models' inputs where the format has none."""
    types = {item.name: item.type for revision in revisions for item in revision.signature.inputs}
    needed = {request.label, request.cluster, *request.slices, *types}
    return _opened(request, [name for name in schema.names if name in needed], types)


def _check_columns(request: BacktestRequest, schema: pa.Schema) -> None:
    outcomes.check_type(request.label, schema, request.input)
    for name in request.slices:
        check_column("--slice", name, schema, request.input)
    if request.cluster:
        check_column("--cluster", request.cluster, schema, request.input)


def _count(request: BacktestRequest, columns: Sequence[SliceColumn]) -> Count:
    """Count the outcomes and find the slices, by a pass over their columns alone."""
    found = Count()
    names = list(dict.fromkeys((request.label, *request.slices)))
    for batch, place, first_row in _rows(_opened(request, names)):
        for column in columns:
            column.codes(batch.column(column.name))
        true, known = outcomes.read(batch.column(request.label), request.label, place, first_row)
        found.add(true, known, place, first_row)
    return found


def _rows(source: Source) -> Iterator[_Rows]:
    """Yield the rows of all files in order. Raises InvalidDataset for one that cannot be read."""
    for file in source.files:
        for piece in source.batches(file, 0, None):
            _check_readable(piece, file.name)
            first_row = piece.first_row
            for batch in pieces(piece.batch, lambda part: part.num_rows, _LIMITS.chunk_rows):
                yield _Rows(batch, file.name, first_row)
                first_row += batch.num_rows


def _check_readable(piece: Piece, place: str) -> None:
    if piece.rejects:
        reject = piece.rejects[0]
        raise InvalidDataset(f"{place}, {reject.position or f'row {reject.row}'}: {reject.reason}", remedy="fix or remove the row")


async def _in_order(
    rows: Iterator[_Rows], score: Callable[[_Rows], Coroutine[Any, Any, tuple[int, Sample]]]
) -> AsyncGenerator[tuple[int, Sample]]:
    """Yield the samples in the order of the rows, with several requests in flight."""
    running: deque[asyncio.Task[tuple[int, Sample]]] = deque()
    following = partial(next, rows, None)
    try:
        while (chunk := await asyncio.to_thread(following)) is not None:
            running.append(asyncio.create_task(score(chunk)))
            if len(running) == _LIMITS.in_flight:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
