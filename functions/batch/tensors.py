"""Rows of a dataset as an Open Inference request, one tensor for each column, and responses as columns. Pure functions.

Numbers are binary tensors (Triton's "Binary Tensor Data Extension"), bounded only by the limit of a body; strings and
routing keys are JSON, since JSON parsers read them several times faster. A request can be JSON as a whole, for a router
or a model without the extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from functions.batch import cells
from functions.batch.cells import InvalidCell
from functions.batch.errors import InvalidDataset, first_line
from functions.batch.signature import OUTPUT_TYPES, Input, Output
from functions.batch.sizes import text_bytes
from functions.runtime.errors import BadAnswer
from functions.runtime.protocols.routing import KEYS, REVISION

# The greatest integer up to which a double holds every integer.
_MAX_EXACT = 2**53
# Bytes of a number in JSON with its comma, at most, and of the quotes and comma of a string.
_NUMBER_BYTES = 25
_QUOTE_BYTES = 3
_DOUBLE_BYTES = 8


class Body(NamedTuple):
    """The body of a request; `json_length` is the length of its JSON when binary tensors follow."""

    content: bytes
    json_length: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers for binary tensors."""
        if self.json_length is None:
            return {}
        return {"Inference-Header-Content-Length": str(self.json_length), "Content-Type": "application/octet-stream"}


# The rows in the file of the rows of a batch: the first one where all follow it, or each.
Numbers = int | Sequence[int] | NDArray[np.int64]


def encode(batch: pa.RecordBatch, inputs: Sequence[Input], key: str | None, numbers: Numbers, *, binary: bool = True) -> Body:
    """Return the request for some rows; null and NaN become null, or NaN in binary tensors.

    `numbers` are the rows in the file, from 0. Raises InvalidDataset for a value that the input's
    datatype cannot hold, and for a key without a canonical string.
    """
    parameters = {} if key is None else {KEYS: _keys(batch.column(key), key, numbers)}
    if binary:
        return _binary(batch, inputs, parameters, numbers)
    tensors = [_json_tensor(item, _cast(batch.column(item.name), item, numbers)) for item in inputs]
    return Body(orjson.dumps({"parameters": parameters, "inputs": tensors}))


def request_bytes(batch: pa.RecordBatch, inputs: Sequence[Input], key: str | None, *, binary: bool = True) -> tuple[int, int]:
    """Return upper bounds of the JSON and binary bytes of a request, except for escapes and for nulls among integers."""
    texts = [batch.column(name) for name in [item.name for item in inputs if item.datatype == "BYTES"] + ([key] if key else [])]
    text = sum([_text_bytes(column) + _QUOTE_BYTES * len(column) for column in texts])
    numbers: int = batch.num_rows * sum(item.datatype != "BYTES" for item in inputs)
    return (text, _DOUBLE_BYTES * numbers) if binary else (text + _NUMBER_BYTES * numbers, 0)


def _text_bytes(column: pa.Array) -> int:
    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    return text_bytes(column) if cells.is_text(plain) else _NUMBER_BYTES * len(column)


def _number(numbers: Numbers, row: int) -> int:
    return numbers + row if isinstance(numbers, int) else int(numbers[row])


def _keys(column: pa.Array, name: str, numbers: Numbers) -> list[str]:
    try:
        # A row without a key gets one by its index, which is equal in every run.
        return [f"row {_number(numbers, row)}" if text is None else text for row, text in enumerate(cells.keys(column))]
    except InvalidCell as error:
        raise InvalidDataset(
            f"row {_number(numbers, error.row)} of the input: the column {name} {error.reason}", remedy=error.remedy
        ) from None


def _cast(column: pa.Array, item: Input, numbers: Numbers) -> pa.Array:
    """Cast a column to the type of its input, with null for NaN. Raises InvalidDataset."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_floating(column.type):
        infinite = pc.is_inf(column)
        if pc.any(infinite).as_py():
            raise _infinite(item, _number(numbers, pc.index(infinite, True).as_py()))
        # Integers with gaps are often stored as floats, with NaN for the gaps.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if item.datatype.startswith("FP") and types.is_float32(column.type):
            return column
    try:
        return column.cast(item.type)
    except pa.ArrowException as error:
        reason = first_line(error)
        raise InvalidDataset(
            f"the column {item.name} has a value that is not {item.datatype} ({reason})", remedy="convert the column"
        ) from None


def _infinite(item: Input, row: int) -> InvalidDataset:
    return InvalidDataset(f"the column {item.name} has an infinite value in row {row}", remedy="make it null, or a number")


def _json_tensor(item: Input, column: pa.Array) -> dict[str, Any]:
    return {"name": item.name, "shape": [len(column)], "datatype": item.datatype, "data": _listed(item, column)}


def _listed(item: Input, column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        raise InvalidDataset(f"the column {item.name} has a string that is not UTF-8", remedy="write the file again in UTF-8") from None


def _binary(batch: pa.RecordBatch, inputs: Sequence[Input], parameters: Mapping[str, Any], numbers: Numbers) -> Body:
    tensors, contents = [], []
    for item in inputs:
        column = batch.column(item.name)
        if item.datatype.startswith("FP") and types.is_float32(column.type):
            datatype, content = "FP32", _floats(column, item, numbers)
        else:
            column = _cast(column, item, numbers)
            found = _binary_data(item, column)
            if found is None:  # binary tensors have no null except NaN
                tensors.append(_json_tensor(item, column))
                continue
            datatype, content = found
        size = {"binary_data_size": len(content)}
        tensors.append({"name": item.name, "shape": [batch.num_rows], "datatype": datatype, "parameters": size})
        contents.append(content)
    head = orjson.dumps({"parameters": {**parameters, "binary_data_output": True}, "inputs": tensors})
    return Body(b"".join([head, *contents]), len(head)) if contents else Body(head)


def _floats(column: pa.Array, item: Input, numbers: Numbers) -> memoryview:
    """Return the bytes of floats, NaN for null: what `_cast` and `_binary_data` do, in a third of the time."""
    values = column.to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    if infinite.any():
        raise _infinite(item, _number(numbers, int(infinite.argmax())))
    return memoryview(values).cast("B") if len(values) else memoryview(b"")


def _binary_data(item: Input, column: pa.Array) -> tuple[str, memoryview] | None:
    """Return the datatype and the bytes of a tensor, or None when it cannot be binary.

    Doubles stay doubles for any precision of the input, so that the model rounds them as it rounds numbers in JSON.
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
    """Return whether doubles hold all of these integers exactly."""
    bounds = pc.min_max(column).as_py()
    return bounds["min"] is None or max(-bounds["min"], bounds["max"]) <= _MAX_EXACT


def _raw(column: pa.Array) -> memoryview:
    """Return the values as in memory, which is little-endian on all platforms of PyArrow, without a copy."""
    width = column.type.bit_width // 8
    start = column.offset * width
    return memoryview(column.buffers()[1])[start : start + len(column) * width] if len(column) else memoryview(b"")


def decode(body: bytes, outputs: Sequence[Output], rows: int, *, routed: bool, json_length: int | None = None) -> list[pa.Array]:
    """Return the columns of the outputs, and of the revision of each row if it was routed.

    Only the first `json_length` bytes are JSON if binary tensors follow. Raises BadAnswer.
    """
    wanted = [*outputs, Output(REVISION, "BYTES", 1)] if routed else outputs
    try:
        found = _tensors(body, len(body) if json_length is None else json_length)
        return [_column(found[item.name], item, rows) for item in wanted]
    except KeyError as error:
        raise BadAnswer(f"the model's response lacks the output {error} of its metadata.") from None
    except (orjson.JSONDecodeError, TypeError, ValueError, AttributeError, OverflowError, pa.ArrowException) as error:
        raise BadAnswer(f"the model's response does not match the outputs of its metadata: {first_line(error)}.") from None


def _tensors(body: bytes, json_length: int) -> dict[str, Any]:
    """Return the values of each tensor: a list, or an array of binary data. The body is not copied."""
    content = memoryview(body)
    position, found = json_length, {}
    for tensor in orjson.loads(content[:json_length])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[tensor["name"]] = tensor["data"]
            continue
        found[tensor["name"]] = _from_binary(tensor["datatype"], content[position : position + size], size)
        position += size
    return found


def _from_binary(datatype: str, content: memoryview, size: int) -> Any:
    if len(content) != size:
        raise ValueError(f"the response has {len(content)} of {size} bytes of a binary tensor")
    if datatype == "BYTES":
        return list(_strings(content))
    if datatype == "BOOL":
        return pa.Array.from_buffers(pa.uint8(), size, [None, pa.py_buffer(content)]).cast(pa.bool_())
    type_ = OUTPUT_TYPES[datatype] if datatype != "FP16" else pa.float16()
    width = type_.bit_width // 8
    if size % width or datatype == "BF16":
        raise ValueError(f"{size} bytes of {datatype}")
    return pa.Array.from_buffers(type_, size // width, [None, pa.py_buffer(content)])


def _strings(content: memoryview) -> Iterator[str]:
    """Yield strings, each of which follows its length in four bytes."""
    position = 0
    while position < len(content):
        begin = position + 4
        position = begin + int.from_bytes(content[position:begin], "little")
        yield str(content[begin:position], "utf-8")


def _column(data: Any, item: Output, rows: int) -> pa.Array:
    if len(data) != rows * item.width:
        raise BadAnswer(f"the model returned {len(data)} values of the output {item.name} for {rows} rows of {item.width}.")
    type_ = item.field.type
    values = type_ if item.width == 1 else type_.value_type
    column = data.cast(values) if isinstance(data, pa.Array) else pa.array(data, values)
    return column if item.width == 1 else pa.FixedSizeListArray.from_arrays(column, item.width)
