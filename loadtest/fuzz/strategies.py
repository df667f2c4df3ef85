"""Strategies of requests: valid ones in every protocol and style, and mutations of them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from hypothesis import strategies as st

from loadtest.fuzz.model import Column, Model
from loadtest.fuzz.wire import Request

Draw = st.DrawFn

_FORMATS = {"BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"}
_FORMATS |= {"FP16": "e", "FP32": "f", "FP64": "d"}
_NUMBERS = [0, 1, -1, 0.5, 1e308, -1e308, 5e-324, 2**31, 2**63, 2**64 - 1, -(2**63), 1e39, 65_536, 100_001]
_TEXTS = ["", "x", "\0", "\r\n", "é\U0001f40d", "NaN", "a" * 5_000]
_JUNK: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, False, [], {}, [[]], [None], {"": None}, *_NUMBERS, *_TEXTS, *_FORMATS, "BYTES"]),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(1, 1_200).map(lambda depth: orjson.Fragment(b"[" * depth + b"]" * depth)),
)
_HEADERS = st.sampled_from(
    [
        *(("content-type", value) for value in ("application/json; charset=utf-16", "text/xml", "", ";", "a" * 5_000)),
        *(("content-type", f"application/cloudevents{value}") for value in ("+json", "-batch+json", "+xml", "-batch")),
        *(("inference-header-content-length", value) for value in ("0", "1", "-1", "+1", "x", "99999999", "9" * 50, "")),
        *(("content-encoding", value) for value in ("gzip", "identity", "")),
        *(("traceparent", value) for value in ("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "x", "\xff")),
        *(
            (f"ce-{name}", value)
            for name in ("id", "specversion", "Type", "", "x_y", "subject")
            for value in ("", "1.0", "%", "%ff%00", "\xe9")
        ),
        ("x-request-id", "a" * 5_000),
    ]
)


@st.composite
def valid(draw: Draw, models: Sequence[Model]) -> Request:
    """Return a request that is answered with 200 unless the model or its transform refuses the values."""
    return _valid(draw, draw(st.sampled_from(models)))


@st.composite
def mutated(draw: Draw, models: Sequence[Model]) -> Request:
    """Return a request after a possible change to its JSON and up to two changes to its bytes or headers."""
    return _mutated(draw, _valid(draw, draw(st.sampled_from(models)), broken=draw(st.booleans())))


@st.composite
def raw(draw: Draw, models: Sequence[Model], host: str = "fuzz") -> bytes:
    """Return the mutated bytes of one or two requests."""
    return _bytes(draw, b"".join(request.to_bytes(host) for request in draw(st.lists(valid(models), min_size=1, max_size=2))))


def _valid(draw: Draw, model: Model, *, broken: bool = False) -> Request:
    count = draw(st.one_of(st.integers(1, 3), st.sampled_from([9, 70])))
    columns = [_column(draw, column, count) for column in model.columns]
    break_: Callable[[Any], Any] = partial(_broken, draw) if broken else _unchanged
    rows = None if broken else count
    kind = draw(st.sampled_from(["v2", "binary", "v1", "event", "ce", "batch"]))
    if kind == "binary":
        return _binary(draw, model, columns, count, break_, rows)
    v1, v2 = {"instances": _instances(draw, model, columns)}, _v2(draw, model, columns, count)
    if kind == "v2":
        return Request(f"/v2/models/{model.name}/infer", (), _json(break_(v2)), rows)
    if kind == "v1":
        return Request(f"/v1/models/{model.name}:predict", (), _json(break_(v1)), rows)
    data = draw(st.sampled_from([v1, v2, _objects(model, columns)[0]]))
    path = f"/models/{model.name}"
    attributes = {"specversion": "1.0", "id": "1", "source": "/fuzz", "type": "t", "subject": draw(st.sampled_from(["", *_TEXTS[3:5]]))}
    if kind == "ce":
        headers = tuple((f"ce-{name}", orjson.dumps(value).decode("latin-1").strip('"')) for name, value in attributes.items())
        return Request(path, (*headers, ("content-type", "application/json")), _json(break_(data)))
    event = attributes | {"data": data}
    if kind == "event":
        return Request(path, (("content-type", "application/cloudevents+json"),), _json(break_(event)))
    return Request(path, (("content-type", "application/cloudevents-batch+json"),), _json(break_([event] * count)), rows)


def _column(draw: Draw, column: Column, count: int) -> list[Any]:
    if column.datatype == "BYTES":
        values: st.SearchStrategy[Any] = st.sampled_from(column.categories or ("x", "", "2013-01-01T05:15"))
    elif column.datatype == "BOOL":
        values = st.booleans()
    elif "INT" in column.datatype:
        values = st.integers(0, 127)
    else:
        values = st.floats(0, 100, width=16)
    value = draw(st.none() | values if column.optional else values)
    return [value] * count


def _v2(draw: Draw, model: Model, columns: list[list[Any]], count: int) -> dict[str, Any]:
    if draw(st.booleans()):
        rows: Any = [list(row) for row in zip(*columns, strict=True)]
        data = rows if draw(st.booleans()) else [value for row in rows for value in row]
        inputs = [{"name": "rows", "shape": [count, len(columns)], "datatype": "FP64", "data": data}]
    else:
        inputs = [
            {"name": column.name, "shape": [count], "datatype": column.datatype, "data": values}
            for column, values in zip(model.columns, columns, strict=True)
        ]
    return {"inputs": inputs} | _asked(draw, model)


def _asked(draw: Draw, model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {"id": draw(st.sampled_from(_TEXTS))} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        found["outputs"] = [
            {"name": name, "parameters": {"binary_data": draw(st.booleans())}} for name in draw(st.permutations(model.outputs))
        ]
    return found


def _binary(draw: Draw, model: Model, columns: list[list[Any]], count: int, break_: Callable[[Any], Any], rows: int | None) -> Request:
    contents = [_encoded(column, values) for column, values in zip(model.columns, columns, strict=True)]
    inputs = [
        {"name": column.name, "shape": [count, 1], "datatype": column.datatype, "parameters": {"binary_data_size": len(content)}}
        for column, content in zip(model.columns, contents, strict=True)
    ]
    head = _json(break_({"inputs": inputs} | _asked(draw, model)))
    headers = (("inference-header-content-length", str(len(head))), ("content-type", "application/octet-stream"))
    return Request(f"/v2/models/{model.name}/infer", headers, head + b"".join(contents), rows)


def _encoded(column: Column, values: list[Any]) -> bytes:
    if column.datatype == "BYTES":
        texts = [(value or "").encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    missing = math.nan if column.datatype.startswith("FP") else 0
    return struct.pack(f"<{len(values)}{_FORMATS[column.datatype]}", *(missing if value is None else value for value in values))


def _instances(draw: Draw, model: Model, columns: list[list[Any]]) -> list[Any]:
    return _objects(model, columns) if draw(st.booleans()) else [list(row) for row in zip(*columns, strict=True)]


def _objects(model: Model, columns: list[list[Any]]) -> list[dict[str, Any]]:
    names = [column.name for column in model.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _broken(draw: Draw, document: Any) -> Any:
    """Return the document with one value replaced, removed, repeated or wrapped, at a drawn path."""
    if isinstance(document, dict) and document and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(document)))
        if not draw(st.integers(0, 6)):
            return {name: value for name, value in document.items() if name != key} | ({draw(st.text(max_size=3)): document[key]})
        return document | {key: _broken(draw, document[key])}
    if isinstance(document, list) and document and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(document) - 1))
        changes = [[], [document[index]] * 2, [_broken(draw, document[index])]]
        return [*document[:index], *draw(st.sampled_from(changes)), *document[index + 1 :]]
    return draw(st.one_of(_JUNK, st.just([document]), st.just({"value": document})))


def _unchanged(document: Any) -> Any:
    return document


def _mutated(draw: Draw, request: Request) -> Request:
    headers, body = request.headers, request.body
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            headers = draw(st.sampled_from([(*headers, draw(_HEADERS)), headers[1:], (draw(_HEADERS), *headers)]))
        else:
            body = _bytes(draw, body)
    return Request(request.path, headers, body)


def _bytes(draw: Draw, data: bytes) -> bytes:
    """Return the bytes with a piece removed, repeated or replaced."""
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 8, 1_000_000])))
    middle: bytes = draw(
        st.one_of(st.binary(max_size=8), st.just(data[start:end] * 2), st.sampled_from([b'"', b"[", b"}", b"\r\n", b"1e999", b"\xff\xfe"]))
    )
    return data[:start] + middle + data[end:]


def _json(document: Any) -> bytes:
    return orjson.dumps(document)
