"""Departures, as callers send them and as events."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import orjson

from eventing.event import SPECVERSION, Event

Record = dict[str, Any]

SOURCE = "/tests/e2e"
_CARRIERS, _ORIGINS, _DESTINATIONS = (
    ("UA", "AA", "DL", "B6", "EV"),
    ("EWR", "JFK", "LGA"),
    ("IAH", "LAX", "BOS", "ORD", "MIA", "ATL", "SFO"),
)


def departure(number: int) -> Record:
    """The departure of a number; different numbers have different ones."""
    return {
        "carrier": _CARRIERS[number % 5],
        "origin": _ORIGINS[number % 3],
        "dest": _DESTINATIONS[number % 7],
        "distance": 200 + 13 * (number % 180),
        "scheduled_departure": f"2013-11-{1 + number % 28:02}T{5 + number % 12:02}:{number % 60:02}",
        "scheduled_arrival": f"2013-11-{1 + number % 28:02}T{8 + number % 12:02}:{number % 60:02}",
    }


def event(id_: str, data: Any, *, key: str | None = None, type_: str = "com.example.flight.departed") -> Event:
    attributes = {"specversion": SPECVERSION, "id": id_, "source": SOURCE, "type": type_, "datacontenttype": "application/json"}
    return Event({**attributes, **({} if key is None else {"partitionkey": key})}, data)


def tensors(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The records as tensors of the Open Inference Protocol, with JSON data."""
    return [{**_head(name, len(records)), "data": [record[name] for record in records]} for name in records[0]]


def binary(records: Sequence[Record]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an Open Inference request with binary tensors."""
    columns = {name: _column(name, [record[name] for record in records]) for name in records[0]}
    heads = [{**_head(name, len(records)), "parameters": {"binary_data_size": len(column)}} for name, column in columns.items()]
    head = orjson.dumps({"inputs": heads})
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return head + b"".join(columns.values()), headers


def _head(name: str, rows: int) -> dict[str, Any]:
    return {"name": name, "shape": [rows], "datatype": "FP32" if name == "distance" else "BYTES"}


def _column(name: str, values: list[Any]) -> bytes:
    if name == "distance":
        return struct.pack(f"<{len(values)}f", *values)
    return b"".join(struct.pack("<I", len(value)) + value.encode() for value in values)
