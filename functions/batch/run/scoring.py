"""Requests for the rows of a part: divided where they are too large, and narrowed down to the rows that are refused."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from functions.batch.client import Exchange, Refused, Response
from functions.batch.errors import InvalidDataset
from functions.batch.request import BatchRequest
from functions.batch.run.gate import Gate
from functions.batch.run.manifest import RejectedRow
from functions.batch.run.pieces import Rows
from functions.batch.settings import BatchLimits
from functions.batch.signature import Input, Signature
from functions.batch.sizes import pieces
from functions.batch.tensors import decode, encode, request_bytes
from functions.runtime.protocols.routing import REVISION

# The status of a too large request; a smaller one may succeed.
_TOO_LARGE = 413
# Statuses of a request with rows that the model does not take, or with binary tensors that it cannot read.
_INVALID = (400, 415, 422)
_ROUTING_KEY, _REVISION = "Tidegate-Routing-Key", "Tidegate-Revision"

log = logging.getLogger("tidegate.batch")


def model_path(model: str, version: str | None) -> str:
    """Return the path of a model, or of one version of it."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


@dataclass(slots=True)
class Scored:
    """Scored rows in their order; the rows that were refused; and the number of rows by revision."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejects: list[RejectedRow] = field(default_factory=list)
    revisions: Counter[str] = field(default_factory=Counter)


class Scorer:
    """Scores rows with one model. `most_rejects` ends the search for refused rows early: one more fails the run."""

    def __init__(
        self,
        request: BatchRequest,
        client: Exchange,
        gate: Gate,
        signature: Signature,
        inputs: Sequence[Input],
        limits: BatchLimits,
        file_names: Sequence[str],
        version: str | None = None,
    ) -> None:
        self._key = request.key
        self._revision = request.revision
        self._most_rejects = request.max_rejects
        self._client = client
        self._gate = gate
        self._model = request.model
        self._path = f"{model_path(request.model, version)}/infer"
        self._inputs = inputs
        self._outputs = signature.outputs
        self._limits = limits
        self._file_names = file_names
        # Halved when a request is too large, since the next one of this size would be too.
        self._max_rows = limits.chunk_rows
        # Until a row is refused in binary, and taken as JSON.
        self._binary = True

    async def score(self, rows: Rows) -> Scored:
        """Score the rows. Raises any error but that of a single row."""
        scored = Scored()
        await self._score(rows, scored)
        return scored

    async def _score(self, rows: Rows, scored: Scored) -> None:
        begin = 0
        for batch in pieces(rows.batch, self._load, 1.0):
            await self._ask(Rows(rows.part, batch, rows.numbers[begin : begin + batch.num_rows]), scored, binary=self._binary)
            begin += batch.num_rows

    async def _ask(self, rows: Rows, scored: Scored, *, binary: bool) -> None:
        if len(scored.rejects) > self._most_rejects:
            return
        count = rows.batch.num_rows
        try:
            response = await self._respond(rows, binary)
        except (Refused, InvalidDataset) as error:
            status = error.status if isinstance(error, Refused) else _INVALID[0]
            if status == _TOO_LARGE and count > 1:
                self._max_rows = min(self._max_rows, (count + 1) // 2)
                await self._score(rows, scored)
            elif status not in (_TOO_LARGE, *_INVALID):
                raise
            elif count > 1:
                await self._narrow(rows, scored)
            elif binary and isinstance(error, Refused):
                # A router or a model may not read binary tensors, and says so by the status of an invalid row.
                await self._ask(rows, scored, binary=False)
            else:
                scored.rejects.append(_rejected(rows, error.message))
            return
        if self._binary and not binary:
            log.warning("rows are sent as JSON, which takes longer: binary tensors are refused for the model %s", self._model)
            self._binary = False
        columns = await asyncio.to_thread(self._decode, response, count)
        scored.batches.append(pa.RecordBatch.from_arrays([*rows.batch.columns, *columns], [*rows.batch.schema.names, *self._names]))
        scored.revisions.update(self._revisions(response, columns, count))

    async def _narrow(self, rows: Rows, scored: Scored) -> None:
        """Find the rows that are refused, by halves."""
        half = rows.batch.num_rows // 2
        await self._score(Rows(rows.part, rows.batch.slice(0, half), rows.numbers[:half]), scored)
        await self._score(Rows(rows.part, rows.batch.slice(half), rows.numbers[half:]), scored)

    async def _respond(self, rows: Rows, binary: bool) -> Response:
        async with self._gate.request():
            # Off the event loop: encoding takes milliseconds.
            body = await asyncio.to_thread(encode, rows.batch, self._inputs, self._key, rows.numbers, binary=binary)
            headers = {**body.headers, **self._routing(rows)}
            response = await self._client.exchange("POST", self._path, body.content, headers, self._gate.refused)
        self._gate.answered(rows.batch.num_rows)
        return response

    def _routing(self, rows: Rows) -> dict[str, str]:
        """The headers that choose the revision: the pinned one, or one for all rows of a part, in each attempt."""
        if self._revision:
            return {_REVISION: self._revision}
        if self._key:
            return {}
        return {_ROUTING_KEY: quote(f"{self._file_names[rows.part.file]}:{rows.part.span}")}

    def _load(self, batch: pa.RecordBatch) -> float:
        """Return the share of a request's limits that these rows take: above 1.0 they are too many."""
        json_bytes, binary_bytes = request_bytes(batch, self._inputs, self._key, binary=self._binary)
        limits = self._limits
        rows: int = batch.num_rows
        return max(rows / self._max_rows, json_bytes / limits.json_bytes, binary_bytes / limits.binary_bytes)

    @property
    def _names(self) -> list[str]:
        return [item.name for item in self._outputs] + ([REVISION] if self._key else [])

    def _decode(self, response: Response, rows: int) -> list[pa.Array]:
        length = response.headers.get("Inference-Header-Content-Length", "")
        json_length = int(length) if length.isdecimal() else None
        return decode(response.content, self._outputs, rows, routed=self._key is not None, json_length=json_length)

    def _revisions(self, response: Response, columns: Sequence[pa.Array], rows: int) -> dict[str, int]:
        if self._key:
            counts: list[dict[str, Any]] = pc.value_counts(columns[-1]).to_pylist()
            return {item["values"]: item["counts"] for item in counts}
        revision = response.headers.get(_REVISION)
        return {revision: rows} if revision else {}


def _rejected(rows: Rows, reason: str) -> RejectedRow:
    """The only one of these rows."""
    row = int(rows.numbers[0])
    return RejectedRow(row=row, position=f"row {row}", reason=reason.rstrip("."))
