"""One run of a batch, from its request to its output."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from time import monotonic

import pyarrow as pa

from common.adaptive_limit import AdaptiveLimit
from common.errors import TidegateError
from common.http_client import session
from common.room import Room
from functions.batch.client import Client
from functions.batch.request import BatchRequest
from functions.batch.run import models, rejects
from functions.batch.run.events import Notifier
from functions.batch.run.flow import Flow
from functions.batch.run.gate import Gate
from functions.batch.run.manifest import Header, Manifest, ModelInfo
from functions.batch.run.memory import data_bytes
from functions.batch.run.opening import check_output, header_of
from functions.batch.run.parts import PartWriter
from functions.batch.run.pieces import Item, Rows, items
from functions.batch.run.plan import Shard, stretches
from functions.batch.run.progress import Progress, Summary
from functions.batch.run.publish import publish, remove_rest
from functions.batch.run.rejects import Rejects
from functions.batch.run.scoring import Scored, Scorer
from functions.batch.run.workspace import Workspace, layout_of
from functions.batch.settings import BatchLimits
from functions.batch.signature import Signature, inputs_in
from functions.batch.storage import EVERYTHING, Listing, Policy, Source, check_distinct, find_source, open_source
from functions.runtime.protocols.routing import REVISION

_DEFAULT_LIMITS = BatchLimits()
_ONE = Shard()
_EVENT_SECONDS = 10.0


async def run(
    request: BatchRequest,
    *,
    url: str,
    progress: Callable[[Progress], None] = lambda _: None,
    limits: BatchLimits = _DEFAULT_LIMITS,
    policy: Policy = EVERYTHING,
    shard: Shard = _ONE,
    sink: str | None = None,
) -> Summary:
    """Score the input through the router at `url`, with as much as is left of an earlier attempt of the same run.

    The output has the columns of the input, the model's outputs and, with a key, `revision`. It appears complete or not
    at all; what was scored is kept for the next attempt, after a cancellation too. Raises any TidegateError, those of
    paths and columns before a row is sent.
    """
    async with session(timeout_seconds=limits.request_timeout_seconds, raw=True) as opened:
        base = {"model": request.model, "input": request.input, "output": request.output}
        notifier = Notifier(sink, opened, request.run, base, limits.retry.total_seconds)
        running = _Run(request, Client(url, opened, limits.retry), notifier, limits, policy, shard, progress)
        try:
            return await running.execute()
        except TidegateError as error:
            await notifier.failed(error)
            raise


class _Run:
    """A run in this process: what it reads and writes, and how far it is."""

    def __init__(
        self,
        request: BatchRequest,
        client: Client,
        notifier: Notifier,
        limits: BatchLimits,
        policy: Policy,
        shard: Shard,
        progress: Callable[[Progress], None],
    ) -> None:
        self._request, self._client, self._notifier = request, client, notifier
        self._limits, self._policy, self._shard = limits, policy, shard
        self._show = progress
        self._gate = Gate(AdaptiveLimit(limits.in_flight))
        self._started = monotonic()
        self._resumed = self._scored = self._rejected = 0
        self._total: int | None = None

    async def execute(self) -> Summary:
        """Score what remains, and publish the output if nothing remains for others."""
        workspace = await asyncio.to_thread(self._workspace)
        done = await asyncio.to_thread(check_output, workspace, self._request)
        if done is not None:
            # What this run has left when its process was killed after all was done.
            await asyncio.to_thread(remove_rest, workspace, self._request.run)
            return await self._completed(done)
        with workspace.lock(f"lock-{self._shard.index}"):
            try:
                # Before the model, which may have to start.
                listing = await asyncio.to_thread(find_source, self._request.input, format=self._request.format, policy=self._policy)
                signature, model = await models.describe(self._client, self._request.model, self._request.revision)
                source = await asyncio.to_thread(self._open, signature, listing)
                return await self._execute(workspace, source, signature, model)
            except TidegateError:
                if self._shard.count == 1:
                    await asyncio.to_thread(self._discard_empty, workspace)
                raise

    async def _execute(self, workspace: Workspace, source: Source, signature: Signature, model: ModelInfo) -> Summary:
        request = self._request
        check_distinct(request.input, source.files, request.output)
        inputs = inputs_in(signature, source.schema, request.key, request.input)
        header = await asyncio.to_thread(header_of, workspace, request, source.files, model)
        names = [file.name for file in header.files]
        scorer = Scorer(request, self._client, self._gate, signature, inputs, self._limits, names)
        schema = _output_schema(source.schema, signature, keyed=request.key is not None)
        await self._score(workspace, header, source, schema, scorer)
        manifest = await asyncio.to_thread(workspace.manifest, header)
        if not manifest.is_complete:
            return self._summary(manifest, complete=False)
        by_revision = await models.by_revision(self._client, request.model, manifest.revisions)
        manifest = await asyncio.to_thread(self._publish, workspace, manifest, schema, by_revision)
        return await self._completed(manifest)

    def _workspace(self) -> Workspace:
        output = self._request.output
        workspace = Workspace(layout_of(output), self._policy)
        if self._request.incremental and not workspace.layout.is_file and workspace.published() is not None:
            return Workspace(layout_of(output, add=True), self._policy)
        return workspace

    def _open(self, signature: Signature, listing: Listing) -> Source:
        request = self._request
        return open_source(
            request.input,
            format=request.format,
            columns=request.columns,
            filter=request.filter,
            types={item.name: item.type for item in signature.inputs},
            policy=self._policy,
            memory_bytes=self._limits.memory_bytes,
            listing=listing,
        )

    async def _score(self, workspace: Workspace, header: Header, source: Source, schema: pa.Schema, scorer: Scorer) -> None:
        manifest = await asyncio.to_thread(workspace.manifest, header)
        known = manifest.file_rows
        self._total = None if None in known else sum(filter(None, known))
        self._resumed, self._rejected = manifest.rows, manifest.rejects
        counted = Rejects([file.name for file in header.files], self._request.max_rejects, manifest.rejects)
        with closing(PartWriter(workspace, schema, counted)) as writer:
            memory = Room(data_bytes(self._limits.memory_bytes))
            flow = Flow(scorer.score, writer.write, self._written, chunks=self._gate.chunks, bytes=memory)
            reporting = asyncio.create_task(self._report())
            try:
                await flow.run(self._items(source, manifest))
            finally:
                reporting.cancel()
                await asyncio.gather(reporting, return_exceptions=True)

    def _items(self, source: Source, manifest: Manifest) -> Iterator[Item]:
        """What this shard still has to read."""
        files = {file.name: file for file in source.files}
        known = manifest.file_rows
        for number, group in groupby(stretches(known, manifest.finished, self._shard), key=lambda stretch: stretch.file):
            file = files.get(manifest.header.files[number].name)
            if file is None:  # a file of an earlier incremental run may be gone
                continue
            left = list(group)
            for stretch, pieces in zip(left, source.stretches(file, [(one.first_row, one.rows) for one in left]), strict=True):
                yield from items(pieces, stretch, known[number], self._limits.chunk_rows)

    def _written(self, item: Item, scored: Scored | None) -> None:
        if scored is not None and isinstance(item, Rows):
            self._scored += sum(batch.num_rows for batch in scored.batches)
            self._rejected += len(scored.rejects)
            self._show(self._progress())

    def _progress(self) -> Progress:
        return Progress(
            rows=self._resumed + self._scored,
            total_rows=self._total,
            seconds=monotonic() - self._started,
            rejects=self._rejected,
            resumed=self._resumed,
            in_flight=self._gate.limit,
        )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_EVENT_SECONDS)
            now = self._progress()
            data = {"rows": now.rows, "total_rows": now.total_rows, "rejects": now.rejects, "seconds": round(now.seconds, 3)}
            await self._notifier.progressed(f"{self._shard.index}/{now.rows}", {**data, "rows_per_second": round(now.rate, 1)})

    def _publish(self, workspace: Workspace, manifest: Manifest, schema: pa.Schema, by_revision: dict[str, object]) -> Manifest:
        with workspace.lock("lock-publish", wait=True):
            published = workspace.published()
            if published is not None and published.header.run == manifest.header.run:  # by another shard
                workspace.discard()
                return published
            rejects.check(manifest.rejects, self._request.max_rejects, f"{manifest.rejects:,} rows were rejected")
            publish(workspace, manifest, schema, overwrite=self._request.overwrite, models=by_revision)
        return manifest

    def _discard_empty(self, workspace: Workspace) -> None:
        """Leave nothing of a run that has no finished part."""
        header = workspace.header()
        if header is None or (header.run == self._request.run and not workspace.has_entries()):
            workspace.discard()

    async def _completed(self, manifest: Manifest) -> Summary:
        summary = self._summary(manifest, complete=True)
        await self._notifier.completed({name: value for name, value in summary.to_dict().items() if name != "complete"})
        return summary

    def _summary(self, manifest: Manifest, *, complete: bool) -> Summary:
        return Summary(
            run=manifest.header.run,
            rows=manifest.rows,
            seconds=monotonic() - self._started,
            scored=self._scored,
            rejects=manifest.rejects,
            revisions=manifest.revisions,
            digest=manifest.digest,
            complete=complete,
        )


def _output_schema(schema: pa.Schema, signature: Signature, *, keyed: bool) -> pa.Schema:
    for output in signature.outputs:
        schema = schema.append(output.field)
    return schema.append(pa.field(REVISION, pa.string())) if keyed else schema
