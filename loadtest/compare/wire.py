"""HTTP/1.1 for the load generator: prebuilt requests, and responses read with as little work as possible."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_JSON_LENGTH = re.compile(rb"\r\ninference-header-content-length: *(\d+)", re.IGNORECASE)


_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Answer(NamedTuple):
    """A response; `status` is 0 if it is not HTTP or has no length, `end` is the index after its last byte."""

    status: int
    end: int


def request(path: str, body: bytes, *headers: str) -> bytes:
    """Return a POST of JSON, or of the type in `headers`."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(headers or ("Content-Type: application/json",)), f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def length(message: bytes) -> int | None:
    """Return the length of the first message once its header is complete; None before, or without a length."""
    header = message.find(b"\r\n\r\n")
    found = _LENGTH.search(message, 0, header) if header >= 0 else None
    return header + 4 + int(found[1]) if found else None


def answer(data: bytes) -> Answer | None:
    """Return the first response in `data`, whose body may be incomplete.

    None before the length is known, and for chunks before their end.
    """
    status, end = _STATUS.match(data), length(data)
    if end is not None and status is not None:
        return Answer(int(status[1]), end)
    header = data.find(b"\r\n\r\n")
    if header < 0:
        return None
    if status is None or not _CHUNKED.search(data, 0, header):
        return Answer(0, len(data))
    found = _chunks(data, header + 4)
    return Answer(int(status[1]), found[1]) if found else None


def json_request(path: str, rows: Sequence[Sequence[float]]) -> bytes:
    """Return an Open Inference Protocol V2 request: one tensor of (rows, features) with flat data."""
    tensor = _tensor(rows) | {"data": [value for row in rows for value in row]}
    return request(path, orjson.dumps({"inputs": [tensor]}))


def binary_request(path: str, rows: Sequence[Sequence[float]]) -> bytes:
    """Return a request with the binary tensor extension, in both directions."""
    data = struct.pack(f"<{len(rows) * len(rows[0])}f", *(value for row in rows for value in row))
    tensor = _tensor(rows) | {"parameters": {"binary_data_size": len(data)}}
    head = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]})
    return request(path, head + data, "Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(head)}")


def scores(response: bytes) -> list[float]:
    """Return the first output of a complete response, in JSON or binary FP32 or FP64.

    Raises ValueError for any other.
    """
    found = answer(response)
    if found is None or found.status != 200 or found.end != len(response):
        raise ValueError(" ".join(response[:300].decode("utf-8", "replace").split()))
    header, _, body = response.partition(b"\r\n\r\n")
    if chunks := _CHUNKED.search(header) and _chunks(response, len(header) + 4):
        body = chunks[0]
    head = _JSON_LENGTH.search(header)
    document = orjson.loads(body[: int(head[1])] if head else body)
    output: dict[str, Any] = document["outputs"][0]
    if head and "data" not in output:
        code = {"FP32": "f", "FP64": "d"}[output["datatype"]]
        data = body[int(head[1]) :][: output["parameters"]["binary_data_size"]]
        return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))
    return [float(value) for value in output["data"]]


def _tensor(rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"name": "predict", "shape": [len(rows), len(rows[0])], "datatype": "FP32"}


def _chunks(data: bytes, start: int) -> tuple[bytes, int] | None:
    """Return the joined chunks from `start`, and the end of the last; None while some are missing, without trailers."""
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line].partition(b";")[0], 16)
        parts.append(data[line + 2 : line + 2 + size])
        start = line + 2 + size + 2
        if size == 0:
            return (b"".join(parts), start) if start <= len(data) else None
    return None
