"""Rows of a dataset as an Open Inference request, one tensor a column, and the answer's outputs as columns. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from functions.batch.signature import Input, Output
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.protocols.routing import KEYS, REVISION


def encode(batch: pa.RecordBatch, inputs: Sequence[Input], key: str | None, first_row: int) -> bytes:
    """A request body; NaN and what is missing become null. Raises InvalidInput for a value that the input's datatype cannot hold."""
    tensors = [
        {"name": item.name, "shape": [batch.num_rows], "datatype": item.datatype, "data": _values(batch.column(item.name), item)}
        for item in inputs
    ]
    request: dict[str, Any] = {"inputs": tensors}
    if key is not None:
        # A row without a key has one of its own, the same in every run.
        keys = batch.column(key).cast(pa.string()).to_pylist()
        request["parameters"] = {KEYS: [f"row {first_row + row}" if value is None else value for row, value in enumerate(keys)]}
    return orjson.dumps(request)


def _values(column: pa.Array, item: Input) -> list[Any]:
    if types.is_floating(column.type):
        if pc.any(pc.is_inf(column)).as_py():
            raise InvalidInput(f"the column {item.name} has an infinite value, which JSON cannot carry; make it missing, or a number.")
        # Whole numbers with gaps are often kept as floats, and their gaps as NaN.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        values: list[Any] = column.cast(item.type).to_pylist()
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InvalidInput(f"the column {item.name} has a value that is no {item.datatype} ({reason}); convert the column.") from None
    return values


def decode(body: bytes, outputs: Sequence[Output], rows: int, *, routed: bool) -> list[pa.Array]:
    """The columns of the outputs, and who scored each row when it was routed. Raises BadAnswer."""
    wanted = [*outputs, Output(REVISION, "BYTES", 1)] if routed else outputs
    try:
        found = {tensor["name"]: tensor["data"] for tensor in orjson.loads(body)["outputs"]}
        return [_column(found[item.name], item, rows) for item in wanted]
    except KeyError as error:
        raise BadAnswer(f"the model answered without the output {error}, which its metadata names.") from None
    except (orjson.JSONDecodeError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadAnswer(f"the model's answer does not hold the outputs of its metadata: {str(error).splitlines()[0]}.") from None


def _column(data: list[Any], item: Output, rows: int) -> pa.Array:
    if len(data) != rows * item.width:
        raise BadAnswer(f"the model answered {len(data)} values of output {item.name} to {rows} rows of {item.width}.")
    type_ = item.field.type
    if item.width == 1:
        return pa.array(data, type_)
    return pa.FixedSizeListArray.from_arrays(pa.array(data, type_.value_type), item.width)
