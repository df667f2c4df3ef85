"""Rows of a dataset as an Open Inference request, one tensor a column, and the answer's outputs as columns. Pure functions.

With routing keys a request is JSON, which the router divides by key. Without, numbers are binary tensors (Triton's "Binary Tensor Data
Extension"), which have no limit but that of a body. Texts are JSON in both: parsers of JSON read them several times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from functions.batch import cells
from functions.batch.cells import InvalidCell
from functions.batch.signature import Input, Output
from functions.batch.sizes import text_bytes
from functions.runtime.errors import BadAnswer, InvalidInput
from functions.runtime.protocols.routing import KEYS, REVISION

# Beyond it a double does not hold every whole number.
_EXACT = 2**53
# Bytes of a number in JSON with its comma, at the most, and what a text has around it.
_NUMBER_BYTES = 25
_QUOTE_BYTES = 3
_DOUBLE_BYTES = 8


class Body(NamedTuple):
    """A request; `json_length` is that of its JSON part if binary tensors follow."""

    content: bytes
    json_length: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self.json_length is None:
            return {}
        return {"Inference-Header-Content-Length": str(self.json_length), "Content-Type": "application/octet-stream"}


def encode(batch: pa.RecordBatch, inputs: Sequence[Input], key: str | None, first_row: int) -> Body:
    """A request; NaN and what is missing become null, or NaN in binary tensors.

    Raises InvalidInput for a value that the input's datatype cannot hold, and for a key that has no text. `first_row` is the first row's
    place in the file, from 0.
    """
    columns = [_fitted(batch.column(item.name), item, first_row) for item in inputs]
    if key is None:
        return _binary(columns, inputs, batch.num_rows)
    tensors = [_json_tensor(item, column) for item, column in zip(inputs, columns, strict=True)]
    return Body(orjson.dumps({"parameters": {KEYS: _keys(batch.column(key), key, first_row)}, "inputs": tensors}))


def request_bytes(batch: pa.RecordBatch, inputs: Sequence[Input], key: str | None) -> tuple[int, int]:
    """How many bytes of JSON and of binary data a request has, at the most, but for characters that JSON escapes and gaps of integers."""
    texts = [batch.column(name) for name in [item.name for item in inputs if item.datatype == "BYTES"] + ([key] if key else [])]
    text = sum([_text_bytes(column) + _QUOTE_BYTES * len(column) for column in texts])
    numbers: int = batch.num_rows * sum(item.datatype != "BYTES" for item in inputs)
    return (text, _DOUBLE_BYTES * numbers) if key is None else (text + _NUMBER_BYTES * numbers, 0)


def _text_bytes(column: pa.Array) -> int:
    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    return text_bytes(column) if cells.is_text(plain) else _NUMBER_BYTES * len(column)


def _keys(column: pa.Array, name: str, first_row: int) -> list[str]:
    try:
        # A row without a key has one of its own, the same in every run.
        return [f"row {first_row + row}" if text is None else text for row, text in enumerate(cells.keys(column))]
    except InvalidCell as error:
        raise InvalidInput(f"row {first_row + error.row} of the input: the column {name} {error}.") from None


def _fitted(column: pa.Array, item: Input, first_row: int) -> pa.Array:
    """In the type of the input, with null for NaN."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_floating(column.type):
        infinite = pc.is_inf(column)
        if pc.any(infinite).as_py():
            row = first_row + pc.index(infinite, True).as_py()
            raise InvalidInput(f"the column {item.name} has an infinite value in row {row}; make it missing, or a number.")
        # Whole numbers with gaps are often kept as floats, and their gaps as NaN.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if item.datatype.startswith("FP") and types.is_float32(column.type):
            return column
    try:
        return column.cast(item.type)
    except pa.ArrowException as error:
        reason = _first_line(error).rstrip(".")
        raise InvalidInput(f"the column {item.name} has a value that is no {item.datatype} ({reason}); convert the column.") from None


def _json_tensor(item: Input, column: pa.Array) -> dict[str, Any]:
    return {"name": item.name, "shape": [len(column)], "datatype": item.datatype, "data": _listed(item, column)}


def _listed(item: Input, column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        raise InvalidInput(f"the column {item.name} has a text that is not UTF-8; write the file again from text.") from None


def _binary(columns: Sequence[pa.Array], inputs: Sequence[Input], rows: int) -> Body:
    tensors, contents = [], []
    for item, column in zip(inputs, columns, strict=True):
        found = _binary_data(item, column)
        if found is None:  # binary data has no null but NaN
            tensors.append(_json_tensor(item, column))
            continue
        datatype, content = found
        parameters = {"binary_data_size": len(content)}
        tensors.append({"name": item.name, "shape": [rows], "datatype": datatype, "parameters": parameters})
        contents.append(content)
    head = orjson.dumps({"inputs": tensors})
    return Body(b"".join([head, *contents]), len(head)) if contents else Body(head)


def _binary_data(item: Input, column: pa.Array) -> tuple[str, bytes] | None:
    """The datatype and the bytes of a tensor, or None where it cannot be binary.

    Doubles stay doubles whatever the precision of the input, so that the model rounds them as it rounds a number of JSON.
    """
    if item.datatype == "BYTES":
        return None
    if item.datatype == "BOOL":
        return None if column.null_count else ("BOOL", _raw(column.cast(pa.uint8())))
    if types.is_float32(column.type):
        return "FP32", _raw(column.fill_null(float("nan")))
    if types.is_integer(column.type) and not column.null_count:
        return item.datatype, _raw(column)
    if types.is_integer(column.type) and not _is_exact(column):
        return None
    return "FP64", _raw(column.cast(pa.float64()).fill_null(float("nan")))


def _is_exact(column: pa.Array) -> bool:
    """Whether doubles hold all of these integers."""
    bounds = pc.min_max(column).as_py()
    return bounds["min"] is None or max(-bounds["min"], bounds["max"]) <= _EXACT


def _raw(column: pa.Array) -> bytes:
    """The values as they are in memory, which is little-endian wherever there is a PyArrow."""
    width = column.type.bit_width // 8
    start = column.offset * width
    return bytes(memoryview(column.buffers()[1])[start : start + len(column) * width]) if len(column) else b""


def decode(body: bytes, outputs: Sequence[Output], rows: int, *, routed: bool) -> list[pa.Array]:
    """The columns of the outputs, and who scored each row when it was routed. Raises BadAnswer."""
    wanted = [*outputs, Output(REVISION, "BYTES", 1)] if routed else outputs
    try:
        found = {tensor["name"]: tensor["data"] for tensor in orjson.loads(body)["outputs"]}
        return [_column(found[item.name], item, rows) for item in wanted]
    except KeyError as error:
        raise BadAnswer(f"the model answered without the output {error}, which its metadata names.") from None
    except (orjson.JSONDecodeError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise BadAnswer(f"the model's answer does not hold the outputs of its metadata: {_first_line(error)}.") from None


def _column(data: list[Any], item: Output, rows: int) -> pa.Array:
    if len(data) != rows * item.width:
        raise BadAnswer(f"the model answered {len(data)} values of output {item.name} to {rows} rows of {item.width}.")
    type_ = item.field.type
    if item.width == 1:
        return pa.array(data, type_)
    return pa.FixedSizeListArray.from_arrays(pa.array(data, type_.value_type), item.width)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
