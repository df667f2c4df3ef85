"""The time that a caller waits: read from headers and parameters, passed on, and kept."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.errors import InvalidInput
from functions.runtime.http.deadline import encoded, timeout_of

LITTLE = "/v2/models/little/infer"
ENVOY = b"x-envoy-expected-rq-timeout-ms"
EVENT = ("content-type: application/json", "ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t")


def calls(server: Any) -> list[str]:
    """The numbers of calls of the library."""
    metrics = server.ask(server.request("/metrics", method="GET")).body.decode()
    return [line for line in metrics.splitlines() if line.startswith("tidegate_batch_rows_count")]


@given(st.floats(0, 99_999))
def test_a_time_is_passed_on_without_becoming_longer(seconds: float) -> None:
    read = timeout_of({b"grpc-timeout": encoded(seconds)})
    assert read is not None
    assert seconds - max(1e-3 if seconds > 99 else 1e-6, 1e-9 * seconds) <= read <= seconds + 1e-9 * seconds


@pytest.mark.parametrize("seconds", [-1.0, -1e-9])
def test_a_time_that_is_over_is_none_left(seconds: float) -> None:
    assert encoded(seconds) == b"0u"


def test_no_time_is_longer_than_the_header_allows() -> None:
    assert timeout_of({b"grpc-timeout": encoded(1e12)}) == 99_999.999


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"grpc-timeout": b"1H"}, 3600),
        ({b"grpc-timeout": b"2M"}, 120),
        ({b"grpc-timeout": b"3S"}, 3),
        ({b"grpc-timeout": b"4m"}, 0.004),
        ({b"grpc-timeout": b"5u"}, 0.000005),
        ({b"grpc-timeout": b"6n"}, 0.000000006),
        ({b"grpc-timeout": b"0S"}, 0),
        ({ENVOY: b"1500"}, 1.5),
        ({ENVOY: b"0"}, None),
        ({ENVOY: b"1500", b"grpc-timeout": b"2S"}, 1.5),
        ({ENVOY: b"2500", b"grpc-timeout": b"2S"}, 2),
        ({ENVOY: b"0", b"grpc-timeout": b"2S"}, 2),
    ],
)
def test_the_shorter_time_counts(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert timeout_of(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("name", [b"grpc-timeout", ENVOY])
@given(value=st.binary(max_size=12))
def test_any_value_is_a_time_or_refused_by_name(name: bytes, value: bytes) -> None:
    sentence, seconds = "", None
    try:
        seconds = timeout_of({name: value})
    except InvalidInput as error:
        sentence = str(error)
    assert sentence.startswith(f"{name.decode()} is ") or (not sentence and 0 <= (seconds or 0) < math.inf)


@pytest.mark.parametrize("header", ["grpc-timeout: 0u", "grpc-timeout: 1n", f"{ENVOY.decode()}: 1\r\ngrpc-timeout: 1n"])
@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        (LITTLE, None, ()),
        ("/v1/models/little:predict", b'{"instances": [[1, 2, 3, 4, 5]]}', ()),
        ("/models/little", None, EVENT),
    ],
    ids=["v2", "v1", "event"],
)
def test_what_cannot_begin_in_time_is_504(path: str, body: bytes | None, more: tuple[str, ...], header: str, server: Any) -> None:
    before = calls(server)
    reply = server.ask(server.request(path, server.matrix(1, 5) if body is None else body, header, *more))
    assert (reply.status, reply.sentence) == (504, "the request timed out before its prediction began; allow more time.")
    assert calls(server) == before, "nothing is computed"


def test_a_long_prediction_ends_when_its_caller_waits_no_longer(server: Any) -> None:
    rows = orjson.loads(server.matrix(20_000))
    rows["outputs"] = [{"name": "contributions"}]
    for header, parameters in (("grpc-timeout: 200m", {}), (f"{ENVOY.decode()}: 200", {}), ("x-none: 1", {"timeout": 200_000})):
        reply = server.ask(server.request("/v2/models/wide/infer", orjson.dumps({**rows, "parameters": parameters}), header))
        assert (reply.status, "timed out" in reply.sentence) == (504, True)


def test_the_parameter_0_is_no_limit(server: Any) -> None:
    body = orjson.loads(server.matrix(1, 5))
    assert server.ask(server.request(LITTLE, orjson.dumps({**body, "parameters": {"timeout": 0}}))).status == 200


@pytest.mark.parametrize("timeout", [-1, 0.5, "100", True])
def test_a_time_that_is_no_number_of_microseconds_is_refused(timeout: object, server: Any) -> None:
    body = orjson.loads(server.matrix(1, 5))
    reply = server.ask(server.request(LITTLE, orjson.dumps({**body, "parameters": {"timeout": timeout}})))
    assert reply.status == 400
    assert "the parameter timeout of the request is " in reply.sentence
    assert "send a whole number of microseconds" in reply.sentence


def test_a_header_that_is_no_time_is_refused(server: Any) -> None:
    reply = server.ask(server.request(LITTLE, server.matrix(1, 5), "grpc-timeout: 5 s"))
    assert reply.status == 400
    assert reply.sentence.startswith("grpc-timeout is '5 s'; send at most 8 digits and a unit")
