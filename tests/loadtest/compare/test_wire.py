from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.compare import wire

_VALUES = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _response(body: bytes, *headers: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", "date: today", *(headers or (f"Content-Length: {len(body)}",)), "", ""]
    return "\r\n".join(lines).encode() + body


def _chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


@given(st.binary(max_size=40), st.data())
def test_response_is_complete_with_its_last_byte(body: bytes, data: st.DataObject) -> None:
    whole = _response(body)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert wire.answer(whole + b"HTTP/1.1 200 OK") == (200, len(whole))
    early = wire.answer(whole[:cut])
    assert early is None or early.end > cut


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=4), st.data())
def test_chunked_response_is_complete_with_its_last_byte(parts: list[bytes], data: st.DataObject) -> None:
    whole = _response(_chunked(parts), "Transfer-Encoding: chunked", status=500)
    assert wire.answer(whole) == (500, len(whole))
    assert wire.answer(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n\r\n", _response(b"no length", "connection: close")])
def test_response_without_a_length_is_invalid(data: bytes) -> None:
    assert wire.answer(data) == (0, len(data))


@given(st.lists(_VALUES, min_size=1, max_size=5))
def test_scores_are_read_from_json_binary_and_chunks(values: list[float]) -> None:
    import struct

    output = {"name": "score", "shape": [len(values)], "datatype": "FP32"}
    data = struct.pack(f"<{len(values)}f", *values)
    head = orjson.dumps({"outputs": [output | {"parameters": {"binary_data_size": len(data)}}]})
    json_head = f"inference-header-content-length: {len(head)}"
    assert wire.scores(_response(orjson.dumps({"outputs": [output | {"data": values}]}))) == values
    assert wire.scores(_response(head + data, json_head, f"content-length: {len(head + data)}")) == values
    assert wire.scores(_response(_chunked([head, data]), json_head, "transfer-encoding: chunked")) == values


def test_error_response_is_quoted() -> None:
    with pytest.raises(ValueError, match="no such model"):
        wire.scores(_response(b'{"error": "no such model"}', status=404))


def test_request_is_one_tensor_with_all_rows() -> None:
    sent = wire.json_request("/v2/models/bench/infer", [[1.5, 2.0], [3.0, 4.0]])
    assert sent.startswith(b"POST /v2/models/bench/infer HTTP/1.1\r\n")
    assert wire.length(sent) == len(sent)
    tensor = {"name": "predict", "shape": [2, 2], "datatype": "FP32", "data": [1.5, 2.0, 3.0, 4.0]}
    assert orjson.loads(sent.partition(b"\r\n\r\n")[2]) == {"inputs": [tensor]}
