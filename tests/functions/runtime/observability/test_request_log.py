from __future__ import annotations

import json
import os
import select
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.request_log import RequestLog, line_of, trace_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Make = Callable[..., Exchange]


def test_the_fields_of_a_line(exchange: Make) -> None:
    line = line_of(exchange(request_id="r-1", traceparent=TRACEPARENT, request_bytes=120, response_bytes=80))

    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "@timestamp": "2023-11-14T22:13:20.250000Z",
        "log.level": "info",
        "log.logger": "tidegate.request",
        "message": "POST /v2/models/{model}/infer 200",
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "http.request.body.size": 120,
        "http.response.body.size": 80,
        "http.request.id": "r-1",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
        "event.duration": 3_000_000,
        "tidegate.protocol": "v2",
        "tidegate.model": "flights",
        "tidegate.model.version": "2",
        "tidegate.rows": 1,
        "tidegate.decode.duration": 0.001,
        "tidegate.predict.duration": 0.0015,
    }


def test_failure_has_its_reason_and_only_the_steps_it_reached(exchange: Make) -> None:
    line = json.loads(line_of(exchange(status=500, reason="failed", decoded=0, predicted=0, rows=0)))

    assert (line["log.level"], line["error.type"], line["message"]) == ("error", "failed", "POST /v2/models/{model}/infer 500 failed")
    assert not {"tidegate.rows", "tidegate.decode.duration", "tidegate.predict.duration", "trace.id", "http.request.id"} & set(line)


def test_line_has_no_bodies(exchange: Make) -> None:
    assert b"secret" not in line_of(exchange(request=b"secret", response=b"secret"))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_id_with_a_newline_stays_on_its_line(request_id: str) -> None:
    exchange = Exchange("v2", "/v2/models/{model}/infer", 1, request_id=request_id)

    line = line_of(exchange)

    assert line.count(b"\n") == 1
    assert json.loads(line).get("http.request.id", "") == request_id[:256]


@pytest.mark.parametrize("header", ["", "garbage", "00-xyz-b7ad6b7169203331-01", "00-" + "G" * 32 + "-b7ad6b7169203331-01", "-" * 9])
def test_invalid_traceparent_has_no_trace_id(header: str) -> None:
    assert trace_id(header) == ""


def test_lines_are_written_whole_and_in_order(exchange: Make) -> None:
    reader, writer = os.pipe()
    log = RequestLog(writer)
    log.background.start()
    with os.fdopen(reader, "rb") as lines:
        for number in range(500):
            log.exchanged(exchange(request_id=str(number)))
        log.background.close()
        found = [json.loads(lines.readline())["http.request.id"] for _ in range(500)]
        log.background.join(20)
    os.close(writer)

    assert found == [str(number) for number in range(500)]
    assert log.background.dropped == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_full_pipe_drops_lines_without_blocking(exchange: Make, blocking: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    log = RequestLog(writer, lines=1_000)
    log.background.start()
    # The pipe has no reader: each write would block.
    for number in range(5_000):
        log.exchanged(exchange(request_id=str(number)))
    dropped = log.background.dropped
    assert dropped >= 1_000
    log.background.close()

    with os.fdopen(reader, "rb") as lines:
        found = [json.loads(lines.readline())["http.request.id"] for _ in range(5_000 - dropped)]
        log.background.join(20)
        os.close(writer)
        assert lines.read() == b""

    assert found[:1_000] == [str(number) for number in range(1_000)]


def test_closed_pipe_is_not_an_error(exchange: Make, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = RequestLog(writer)
    log.background.start()
    log.exchanged(exchange())
    log.background.close()
    log.background.join(20)
    os.close(writer)

    assert log.background.dropped == 1
    assert "BrokenPipeError" in caplog.text


def test_nothing_is_written_before_the_first_request(exchange: Make) -> None:
    reader, writer = os.pipe()
    log = RequestLog(writer)
    log.background.start()
    assert select.select([reader], [], [], 0)[0] == []
    log.background.close()
    log.background.join(20)
    os.close(reader)
    os.close(writer)
