"""The scorer: what an engine calls with frames. It is a value, which engines send to their workers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from common.errors import RemediedError
from functions.batch.errors import InvalidDataset
from functions.batch.request import BatchRequest
from functions.batch.run.pieces import Rows
from functions.batch.run.plan import PartId
from functions.batch.run.scoring import Scored
from functions.batch.run.scoring import Scorer as RowScorer
from functions.batch.settings import BatchLimits, limits_from
from functions.batch.signature import Input, Output, Signature, inputs_in
from functions.runtime.protocols.routing import REVISION
from tidegate.frames import schemas, tables
from tidegate.frames.backends import Artifact, Service
from tidegate.frames.background import background
from tidegate.frames.local import find_card
from tidegate.frames.tables import InvalidFrame

T = TypeVar("T")

# A request that was narrowed down to one row names it as its first.
_FIRST = "row 0: "


class InvalidScorer(RemediedError):
    """The options of a scorer contradict each other."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Adds a model's outputs to frames: `scorer(frame)` returns the frame with them, for an iterator an iterator.

    With a key, the column `revision` is added too. It can be pickled; a process opens its connection, or loads its
    model, at its first frame and keeps it. Several threads may call it.
    """

    model: str
    backend: Service | Artifact
    signature: Signature
    key: str | None = None
    revision: str | None = None
    version: str | None = None

    def __call__(self, data: T) -> T:
        """Score a frame, or each frame of an iterator. Raises InvalidFrame and any other TidegateError."""
        if tables.is_frame(data):
            return cast("T", background().run(self._scored(data, 0, "the frame")))
        if isinstance(data, Iterator):
            return cast("T", self._each(data))
        raise InvalidFrame(
            f"{type(data).__name__} is not a frame",
            remedy="pass a pandas DataFrame, an Arrow table, a dict of arrays, or an iterator of these",
        )

    def spark_schema(self, schema: Any) -> Any:
        """Return Spark's schema of the output for that of the input: a StructType for one, a string of DDL for one."""
        return schemas.with_outputs(schema, self.outputs)

    def dask_meta(self, meta: T) -> T:
        """Return Dask's `meta` of the output for an empty frame of the input, such as `ddf._meta`."""
        return self(meta.iloc[:0])  # type: ignore[attr-defined, no-any-return]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The columns that are added."""
        return (*self.signature.outputs, *([Output(REVISION, "BYTES", 1)] if self.key else []))

    def _each(self, frames: Iterator[T]) -> Iterator[T]:
        first_row = 0
        for frame in frames:
            yield background().run(self._scored(frame, first_row, "the partition"))
            first_row += _rows_of(frame)

    async def _scored(self, frame: Any, first_row: int, where: str) -> Any:
        batch, inputs = self._columns(frame)
        found = await self._score(batch, inputs, first_row)
        for reject in (reject for scored in found for reject in scored.rejects):
            position = f"row {reject.row} of {where}{tables.index_of(frame, reject.row - first_row)}"
            reason = reject.reason.removeprefix(_FIRST)
            raise InvalidFrame(f"{position} cannot be scored: {reason}", remedy="fix the row, or filter it out before")
        batches = [scored_batch for scored in found for scored_batch in scored.batches]
        added = [_joined([item.column(output.name) for item in batches], output) for output in self.outputs]
        return tables.with_columns(frame, added, [output.name for output in self.outputs])

    def _columns(self, frame: Any) -> tuple[pa.RecordBatch, list[Input]]:
        """Return the columns that are sent, and the inputs among them. Raises InvalidFrame."""
        names = tables.names_of(frame)
        wanted = {item.name for item in self.signature.inputs} | ({self.key} if self.key else set())
        # Of a name that is there twice, one column cannot be taken.
        batch = tables.batch_of(frame, wanted if len(set(names)) == len(names) else ())
        types = {field.name: field.type for field in batch.schema}
        schema = pa.schema([pa.field(name, types.get(name, pa.null())) for name in names])
        try:
            return batch, inputs_in(self.signature, schema, self.key, "the frame")
        except InvalidDataset as error:
            raise InvalidFrame(error.message, remedy=error.remedy) from None

    async def _score(self, batch: pa.RecordBatch, inputs: list[Input], first_row: int) -> list[Scored]:
        exchange, gate = await self.backend.open()
        limits = self.backend.limits
        request = BatchRequest(model=self.model, input="", output="", key=self.key, revision=self.revision)
        name = _digest(batch) if self.key is None and self.revision is None else ""
        rows = RowScorer(request, exchange, gate, self.signature, inputs, limits, [name], self.version)
        numbers = np.arange(first_row, first_row + batch.num_rows, dtype=np.int64)
        slices = [slice(start, start + limits.chunk_rows) for start in range(0, batch.num_rows, limits.chunk_rows)]
        chunks = [Rows(PartId(0, 0), batch.slice(cut.start, limits.chunk_rows), numbers[cut]) for cut in slices]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(rows.score(chunk)) for chunk in chunks]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]


def scorer(
    model: str,
    *,
    url: str | None = None,
    path: str | Path | None = None,
    key: str | None = None,
    revision: str | None = None,
    version: str | None = None,
    limits: BatchLimits | None = None,
) -> Scorer:
    """Return a function of frames that adds a model's outputs: through the router at `url`, or in the engine's processes
    with the artifact of the card at `path`, which each of them reads.

    The model is asked for its inputs and outputs here, which starts one that is scaled to zero. `key` is the column by
    which rows stick to a revision during a canary. `revision`, a revision or tag, or `version` choose what scores all
    rows; of a folder with several versions one has to be named. BatchLimits are those of the environment variables
    TIDEGATE_BATCH_*. Raises InvalidScorer, and any other TidegateError.
    """
    limits = limits or limits_from()
    if (url is None) == (path is None):
        raise InvalidScorer("a scorer needs either the url of a router or the path of a model", remedy="pass one of them")
    if path is not None:
        if key or revision:
            raise InvalidScorer("key and revision choose among the revisions of a service", remedy="pass its url, or leave them out")
        card, sha256 = find_card(model, Path(path), version)
        backend: Service | Artifact = Artifact(card=card, sha256=sha256, limits=limits)
    else:
        backend = Service(url=str(url), limits=limits)
    signature = background().run(backend.describe(model, revision, version))
    return Scorer(model=model, backend=backend, signature=signature, key=key, revision=revision, version=version)


def _joined(columns: list[pa.Array], output: Output) -> pa.Array:
    return pa.concat_arrays(columns) if columns else pa.array([], output.field.type)


def _rows_of(frame: Any) -> int:
    if isinstance(frame, dict):
        return len(next(iter(frame.values()), ()))
    return frame.num_rows if isinstance(frame, pa.Table | pa.RecordBatch) else len(frame)


def _digest(batch: pa.RecordBatch) -> str:
    """Return a digest of the rows: without a key it chooses their revision, also when an engine repeats a task."""
    plain = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns]
    return hashlib.blake2b(pa.RecordBatch.from_arrays(plain, batch.schema.names).serialize(), digest_size=16).hexdigest()
