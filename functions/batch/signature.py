"""The inputs and outputs in a model's metadata, compared with the columns of a dataset before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
from pyarrow import types

from functions.batch.cells import is_key, is_text
from functions.batch.errors import InvalidDataset, InvalidMetadata
from functions.runtime.contract.datatypes import FLOATS
from functions.runtime.protocols.routing import REVISION

# Arrow type of the values in a request, by Open Inference datatype. FP32 is sent as double, so that the model rounds it
# as in any other request.
_ARROW: dict[str, pa.DataType] = {
    "BOOL": pa.bool_(),
    **{f"UINT{bits}": getattr(pa, f"uint{bits}")() for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": getattr(pa, f"int{bits}")() for bits in (8, 16, 32, 64)},
    **dict.fromkeys(FLOATS, pa.float64()),
    "BYTES": pa.string(),
}
# Arrow type of a column of the output, by Open Inference datatype.
OUTPUT_TYPES = {**_ARROW, **dict.fromkeys(("FP16", "BF16", "FP32"), pa.float32())}


@dataclass(frozen=True, slots=True)
class Input:
    """An input tensor: one column of the dataset."""

    name: str
    datatype: str
    optional: bool

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the values in a request."""
        return _ARROW[self.datatype]


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor: `width` values for each row, which become a list when it is above 1."""

    name: str
    datatype: str
    width: int

    @property
    def field(self) -> pa.Field:
        """The column of the output file."""
        type_ = OUTPUT_TYPES[self.datatype]
        return pa.field(self.name, type_ if self.width == 1 else pa.list_(type_, self.width))


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a model."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


def parse(body: bytes) -> Signature:
    """Parse the Open Inference metadata of a model. Raises InvalidMetadata when it does not describe columns."""
    try:
        metadata = orjson.loads(body)
        inputs = tuple(
            Input(item["name"], item["datatype"], bool(item.get("parameters", {}).get("optional", False))) for item in metadata["inputs"]
        )
        outputs = tuple(
            Output(item["name"], item["datatype"], _width(item["shape"]))
            for item in metadata["outputs"]
            if not item.get("parameters", {}).get("on_request", False)
        )
        unknown = ({item.datatype for item in inputs} | {item.datatype for item in outputs}) - _ARROW.keys()
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError):
        raise InvalidMetadata(
            "the model's metadata lacks inputs or outputs with datatypes; a batch needs a tensor for each column."
        ) from None
    if unknown or not inputs:
        reason = f"the unsupported datatypes {', '.join(sorted(unknown))}" if unknown else "no inputs"
        raise InvalidMetadata(f"the model's metadata has {reason}.")
    return Signature(inputs, outputs)


def _width(shape: Sequence[int]) -> int:
    return int(shape[1]) if len(shape) > 1 else 1


def inputs_in(signature: Signature, schema: pa.Schema, key: str | None, path: str) -> list[Input]:
    """Return the inputs that the file has columns for.

    Raises InvalidDataset for a column that is missing, has the wrong type, is repeated, or has the name of an output.
    """
    columns = schema.names
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InvalidDataset(f"{path} has the column {', '.join(twice)} more than once", remedy="rename one")
    needed = [item.name for item in signature.inputs if not item.optional] + ([key] if key else [])
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InvalidDataset(f"{path} lacks {_columns(missing)}{_near(missing, columns)}", remedy="rename or add columns")
    outputs = [item.name for item in signature.outputs] + ([REVISION] if key else [])
    clash = [name for name in outputs if name in columns]
    if clash:
        raise InvalidDataset(f"{path} has {_columns(clash)}, the name of an output of the model", remedy="rename or drop it in the input")
    found = [item for item in signature.inputs if item.name in columns]
    for item in found:
        _check_type(item, schema.field(item.name).type, path)
    if key:
        _check_key(key, schema.field(key).type, path)
    return found


def _columns(names: Sequence[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _near(missing: Sequence[str], columns: Sequence[str]) -> str:
    lower = {name.lower(): name for name in columns}
    pairs = [(name, difflib.get_close_matches(name.lower(), lower, 1, 0.7)) for name in missing]
    near = [f"{lower[match[0]]} looks like {name}" for name, match in pairs if match]
    return f" ({', '.join(near)})" if near else ""


def _check_type(item: Input, found: pa.DataType, path: str) -> None:
    """Check that a column has the kind of an input; whether each number fits is checked when it is converted."""
    plain = _plain(found)
    if not types.is_null(plain) and not _FITS[item.datatype.rstrip("0123456789")](plain):
        wanted = {"BYTES": "strings", "BOOL": "booleans"}.get(item.datatype, "numbers")
        raise InvalidDataset(
            f"the column {item.name} of {path} is {found}, but the model takes {wanted} ({item.datatype})", remedy="convert the column"
        )


def _check_key(name: str, found: pa.DataType, path: str) -> None:
    if not is_key(found):
        raise InvalidDataset(
            f"the column {name} of {path} is {found}, which cannot be a routing key", remedy="name a column of strings, numbers or times"
        )


def _plain(found: pa.DataType) -> pa.DataType:
    return found.value_type if types.is_dictionary(found) else found


def _is_number(found: pa.DataType) -> bool:
    return bool(types.is_integer(found) or types.is_floating(found) or types.is_boolean(found) or types.is_decimal(found))


_FITS: dict[str, Callable[[pa.DataType], bool]] = {
    "BOOL": types.is_boolean,
    "UINT": _is_number,
    "INT": _is_number,
    "FP": _is_number,
    "BF": _is_number,
    "BYTES": is_text,
}
