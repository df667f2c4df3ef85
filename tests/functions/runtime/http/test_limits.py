"""Requests beyond the limits are refused with a sentence, and all budgets are returned."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

WIDE = "/v2/models/wide/infer"
CONTRIBUTIONS = {"outputs": [{"name": "contributions", "parameters": {"binary_data": True}}]}
START = Callable[..., Any]


def rows(server: Any, count: int, **fields: Any) -> bytes:
    """A request with a binary tensor of the value 0.5."""
    return bytes(server.binary(WIDE, [("x", [count, 30], "FP32", array("f", [0.5]).tobytes() * 30 * count)], **fields))


def one(server: Any) -> bytes:
    return bytes(server.request(WIDE, server.matrix(1)))


@contextlib.contextmanager
def held(server: Any, body: bytes = b"") -> Iterator[Any]:
    """Start a request that has sent only this part of its body."""
    with server.connect() as connection:
        connection.send(b"POST %b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n" % WIDE.encode())
        assert connection.reply().status == 100
        connection.send(body)
        yield connection


@contextlib.contextmanager
def predicting(server: Any, count: int) -> Iterator[Any]:
    """Start a request for explanations, which take a tenth of a millisecond each."""
    with server.connect() as connection:
        connection.send(rows(server, count, **CONTRIBUTIONS))
        while not server.metric("tidegate_rows_waiting"):
            pass
        yield connection


def at_rest(server: Any) -> bool:
    """Wait until the function has noticed that its clients are gone."""
    while server.metric("tidegate_requests_in_flight") or server.metric("tidegate_rows_waiting"):
        pass
    return True


def test_too_many_requests_are_429(start_server: START) -> None:
    server = start_server(TIDEGATE_MAX_WAITING_REQUESTS="2")
    with held(server), held(server):
        reply = server.ask(one(server))
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert "2 requests in flight" in reply.sentence
        assert server.ask(server.request("/v2/health/live", method="GET")).status == 200
    assert at_rest(server)
    with held(server):
        assert server.ask(one(server)).status == 200


def test_too_many_bytes_are_429(start_server: START) -> None:
    server = start_server(TIDEGATE_MAX_WAITING_BYTES="10000")
    with held(server, b" " * 9_990):
        reply = server.ask(one(server))
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert "requests of 9990 bytes are in flight" in reply.sentence
    assert at_rest(server)
    # A single request may exceed the total budget, in one piece and in several.
    assert server.ask(rows(server, 5_000)).status == 200


def test_response_counts_in_the_budget_from_its_estimate_to_its_reading(start_server: START) -> None:
    """20 bytes are estimated for each of 20,000 times 200 leaves before the prediction; the actual size is about 3."""
    server = start_server(TIDEGATE_MAX_WAITING_BYTES="90000000")
    large = rows(server, 20_000, outputs=[{"name": "leaf"}])
    with server.connect() as unread:
        unread.send(large)
        assert unread.socket.recv(12) == b"HTTP/1.1 200"
        reply = server.ask(large)
        assert reply.status == 429
        assert "bytes are in flight" in reply.sentence
        assert server.ask(one(server)).status == 200
    assert at_rest(server)
    assert server.ask(large).status == 200


def test_too_many_rows_are_429_until_the_client_disconnects(start_server: START) -> None:
    server = start_server(TIDEGATE_MAX_WAITING_ROWS="100000")
    with predicting(server, 100_000):
        reply = server.ask(one(server))
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert "queue full (100000 rows); retry later." in reply.sentence
    assert at_rest(server)
    # It was not computed to its end; the metric is missing if no slice of it was computed.
    text = server.ask(server.request("/metrics", method="GET")).body.decode()
    found = re.search(r'^tidegate_batch_rows_sum\{kind="contributions",model="wide",version=""\} (\S+)$', text, re.MULTILINE)
    assert found is None or float(found[1]) < 100_000
    assert server.ask(rows(server, 100_000)).status == 200


def test_many_disconnects_leave_nothing_behind(start_server: START) -> None:
    server = start_server()
    for count in (1, 200, 20_000):
        for _ in range(5):
            with server.connect() as connection:
                connection.send(rows(server, count))
    assert at_rest(server)
    assert server.ask(rows(server, 100_000)).status == 200


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"TIDEGATE_MAX_ROWS": "9"}, "the request has 10 rows, more than the limit of 9"),
        ({"TIDEGATE_MAX_JSON_BYTES": "1000"}, "bytes of JSON, more than the limit of 1000"),
        ({"TIDEGATE_MAX_BODY_BYTES": "1000"}, "bytes, more than the limit of 1000"),
    ],
)
def test_a_request_beyond_a_limit_is_413(environ: dict[str, str], sentence: str, start_server: START) -> None:
    server = start_server(**environ)
    reply = server.ask(server.request(WIDE, server.matrix(10)))
    assert reply.status == 413
    assert sentence in reply.sentence
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": orjson.loads(server.matrix(10))}
    reply = server.ask(server.request("/models/wide", orjson.dumps(event), "content-type: application/cloudevents+json"))
    assert reply.status == 413
    assert sentence in reply.sentence
    assert server.ask(one(server)).status == 200


def test_prediction_that_times_out_is_504(start_server: START) -> None:
    server = start_server(TIDEGATE_TIMEOUT_SECONDS="0.2")
    reply = server.ask(rows(server, 50_000, **CONTRIBUTIONS))
    assert reply.status == 504
    assert "of 50000 rows; send fewer rows, or raise the timeout." in reply.sentence
    assert at_rest(server)
    assert server.ask(rows(server, 1_000)).status == 200


@pytest.mark.parametrize(("signals", "status"), [([signal.SIGTERM], 0), ([signal.SIGTERM] * 2, 0), ([signal.SIGINT], 130)])
def test_accepted_request_is_answered_during_the_drain(signals: list[int], status: int, start_server: START) -> None:
    server = start_server()
    with contextlib.ExitStack() as stack:
        large = stack.enter_context(predicting(server, 5_000))
        small = stack.enter_context(held(server, server.matrix(1)))
        others = [stack.enter_context(server.connect()) for _ in range(5)]
        for connection in others:
            connection.send(rows(server, 500))
        while arrived(server) < 7:
            pass
        for number in signals:
            server.process.send_signal(number)
        while not is_refused(server):
            pass
        small.send(b" " * (1_000_000 - len(server.matrix(1))))
        assert small.reply().status == 200
        assert [connection.reply().status for connection in others] == [200] * 5
        assert len(large.reply().body) > 5_000 * 31 * 4
        assert server.process.wait(60) == status
    server.stop()


def arrived(server: Any) -> float:
    """Return the number of requests in flight or answered; those in the system's queue are not accepted yet."""
    text = server.ask(server.request("/metrics", method="GET")).body.decode()
    return sum(map(float, re.findall(r"^tidegate_requests_(?:in_flight|total\{[^}]*\}) (\S+)$", text, re.MULTILINE)))


def is_refused(server: Any) -> bool:
    try:
        server.connect().close()
    except ConnectionError:
        return True
    return False


def test_requests_that_the_process_has_not_read_at_sigterm_are_answered(start_server: START) -> None:
    """A client cannot know that they were not executed: over a kept connection, and over one that waits to be accepted."""
    server = start_server()
    with server.connect() as kept:
        kept.send(one(server))
        assert kept.reply().status == 200
        server.process.send_signal(signal.SIGSTOP)
        with server.connect() as new:
            for connection in (kept, new):
                connection.send(one(server))
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)  # uvicorn looks for the signal every 0.1 s: it is late now, and does so before it reads
            server.process.send_signal(signal.SIGCONT)
            assert [connection.reply().status for connection in (kept, new)] == [200, 200]
        assert server.process.wait(60) == 0
    server.stop()


def test_request_that_outlasts_the_drain_is_503(start_server: START) -> None:
    server = start_server(TIDEGATE_DRAIN_SECONDS="0.1")
    with predicting(server, 20_000) as large:
        server.process.send_signal(signal.SIGTERM)
        reply = large.reply()
        assert (reply.status, reply.sentence) == (503, "the function is stopping; retry the request.")
        assert server.process.wait(60) == 0
    server.stop()


@pytest.mark.parametrize("again_after_seconds", [0.0, 0.002, 0.01])
def test_second_ctrl_c_ends_the_process_silently(again_after_seconds: float, start_server: START) -> None:
    """A second signal may arrive at any moment of the shutdown."""
    server = start_server()
    assert server.ask(one(server)).status == 200
    server.process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(again_after_seconds)
    # The latter after the function has ended but not the interpreter; a shell shows both as 130.
    assert server.stop(signal.SIGINT) in (130, -signal.SIGINT)
    assert "Traceback" not in server.log


def test_memory_of_failed_requests_is_freed_at_once(server: Any) -> None:
    """The memory is freed without the garbage collector, which waits for 50,000 objects."""
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"%b"},' % (b"x" * 1_000_000)
    request = server.request("/models/wide", b"[" + event, "content-type: application/cloudevents-batch+json")
    server.ask(request)
    before = server.mebibytes("VmRSS")
    for _ in range(100):
        assert server.ask(request).status == 400
    assert server.mebibytes("VmRSS") - before < 50
