"""Scores of one revision for rows of a dataset, through the router."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.batch.client import Client, Refused
from functions.batch.settings import BatchLimits
from functions.batch.signature import Input, Output, Signature, inputs_in
from functions.batch.sizes import pieces
from functions.batch.tensors import decode, encode, request_bytes
from tidegate.backtest.errors import InvalidScores
from tidegate.backtest.revisions import PinnedRevision

_TOO_LARGE = 413
_LENGTH_HEADER = "Inference-Header-Content-Length"


def score_output(signature: Signature, wanted: str | None, title: str) -> Output:
    """Return the output with the probability: the wanted one, or the first with one number a row. Raises InvalidScores."""
    numbers = [item for item in signature.outputs if item.width == 1 and item.datatype.startswith(("FP", "BF"))]
    if wanted is None and numbers:
        return numbers[0]
    found = next((item for item in numbers if item.name == wanted), None)
    if found is None:
        listed = ", ".join(item.name for item in numbers) or "none"
        reason = f"no output {wanted} with one number a row" if wanted else "no output with one number a row"
        raise InvalidScores(f"{title} has {reason}; those are: {listed}", remedy="name one with --score")
    return found


def inputs_of(signature: Signature, schema: pa.Schema, place: str) -> list[Input]:
    """Return the inputs that the file has columns for.

    A column with the name of an output is allowed: labels are often named so. Raises InvalidDataset.
    """
    outputs = {item.name for item in signature.outputs} - {item.name for item in signature.inputs}
    return inputs_in(signature, pa.schema([field for field in schema if field.name not in outputs]), None, place)


class Scorer:
    """Scores rows by one revision."""

    def __init__(self, client: Client, revision: PinnedRevision, inputs: Sequence[Input], output: Output, limits: BatchLimits) -> None:
        self._client = client
        self._revision = revision
        self._inputs = inputs
        self._output = output
        self._limits = limits
        # Halved when a request is too large, since the next one of this size would be too.
        self._max_rows = limits.chunk_rows

    async def score(self, batch: pa.RecordBatch, first_row: int) -> NDArray[np.float64]:
        """Return the probability of each row. Raises InvalidScores, InvalidDataset, and as `Client.exchange` does."""
        found = []
        for part in pieces(batch, self._load, 1.0):
            found.append(await self._score_part(part, first_row))
            first_row += part.num_rows
        return np.concatenate(found) if found else np.zeros(0)

    def _load(self, part: pa.RecordBatch) -> float:
        """Return the share of a request's limits that these rows take: above 1.0 they are too many."""
        json_bytes, binary_bytes = request_bytes(part, self._inputs, None)
        limits = self._limits
        rows: int = part.num_rows
        return max(rows / self._max_rows, json_bytes / limits.json_bytes, binary_bytes / limits.binary_bytes)

    async def _score_part(self, part: pa.RecordBatch, first_row: int) -> NDArray[np.float64]:
        body = await asyncio.to_thread(encode, part, self._inputs, None, first_row)
        try:
            response = await self._client.exchange("POST", self._revision.path, body.content, {**body.headers, **self._revision.headers})
        except Refused as error:
            if error.status == _TOO_LARGE and part.num_rows > 1:
                self._max_rows = min(self._max_rows, (part.num_rows + 1) // 2)
                return await self.score(part, first_row)
            raise Refused(
                f"{self._revision.title} refused rows {first_row} to {first_row + part.num_rows - 1}: {error.message}",
                error.status,
                remedy=error.remedy,
            ) from None
        self._revision.check_answered_by(response)
        length = response.headers.get(_LENGTH_HEADER)
        json_length = int(length) if length and length.isdecimal() else None
        (column,) = await asyncio.to_thread(decode, response.content, [self._output], part.num_rows, routed=False, json_length=json_length)
        return self._checked(column, first_row)

    def _checked(self, column: pa.Array, first_row: int) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
        wrong = ~((scores >= 0) & (scores <= 1))  # NaN too
        if wrong.any():
            row = int(wrong.argmax())
            raise InvalidScores(
                f"the output {self._output.name} of {self._revision.title} is no probability: {scores[row]:g} in row {first_row + row}",
                remedy="name an output of probabilities with --score",
            )
        return scores
