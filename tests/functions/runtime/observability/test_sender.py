from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from eventing.event import Event
from functions.runtime.observability import sender as module
from functions.runtime.observability.sender import Sender

Receiver = Any
LIMIT = 100


def event(number: int, data: bytes = b"{}") -> Event:
    return Event({"specversion": "1.0", "id": str(number), "source": "/a", "type": "t", "datacontenttype": "application/json"}, data)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda attempt: 0.0)


@pytest.fixture
def sender(receiver: Receiver) -> Iterator[Sender]:
    with closing(Sender(receiver.url, threading.Event(), batched_bytes=LIMIT)) as found:
        yield found


def received(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """The media type of each request, and the ids of its events."""
    found = []
    while not receiver.posts.empty():
        _, headers, body = receiver.next()
        ids = [headers["ce-id"]] if "ce-id" in headers else [item["id"] for item in json.loads(body)]
        found.append((headers["content-type"], ids))
    return found


def test_small_events_share_a_batch_and_a_connection(receiver: Receiver, sender: Sender) -> None:
    assert sender.send([event(number) for number in range(300)]) == 0
    assert sender.send([event(300)]) == 0

    batches = received(receiver)
    assert [len(ids) for _, ids in batches] == [256, 44, 1]
    assert [name for _, ids in batches for name in ids] == [str(number) for number in range(301)]
    assert {media_type for media_type, _ in batches} == {"application/cloudevents-batch+json"}
    assert len(receiver.connections) == 1


def test_large_event_is_sent_alone_and_unchanged(receiver: Receiver, sender: Sender) -> None:
    body = b'{"a": "' + b"x" * LIMIT + b'"} '
    assert sender.send([event(1), event(2, body), event(3)]) == 0

    posts = [receiver.next() for _ in range(3)]
    assert posts[1][2] == body
    assert posts[1][1]["ce-id"] == "2"
    assert [post[1]["content-type"] for post in posts] == [
        "application/cloudevents-batch+json",
        "application/json",
        "application/cloudevents-batch+json",
    ]


def test_sink_that_rejects_batches_gets_single_events(receiver: Receiver, sender: Sender) -> None:
    receiver.refuses_batches = 415

    assert sender.send([event(1), event(2)]) == 0
    assert sender.send([event(3), event(4)]) == 0

    assert [ids for _, ids in received(receiver)] == [["1", "2"], ["1"], ["2"], ["3"], ["4"]]


@pytest.mark.parametrize("status", [400, 405, 415, 500, 501])
def test_sink_that_rejects_batches_by_another_status_gets_single_events(status: int, receiver: Receiver, sender: Sender) -> None:
    """Receivers of the Go SDK return 500 for a batch."""
    receiver.refuses_batches = status

    assert sender.send([event(1), event(2)]) == 0
    assert sender.send([event(3)]) == 0

    assert [ids for media_type, ids in received(receiver) if media_type == "application/json"] == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize("status", [429, 503, 504])
def test_overloaded_sink_still_gets_batches(status: int, receiver: Receiver, sender: Sender) -> None:
    receiver.statuses = [status, status, status, 202]

    assert sender.send([event(1), event(2)]) == 2
    assert sender.send([event(3), event(4)]) == 0

    assert [ids for _, ids in received(receiver)] == [["1", "2"]] * 3 + [["3", "4"]]


def test_failing_sink_does_not_get_every_event(receiver: Receiver, sender: Sender) -> None:
    receiver.statuses = [500]

    assert sender.send([event(number) for number in range(9)]) == 9

    assert len(received(receiver)) == 6  # the batch and one event, three times each


def test_sink_that_rejects_everything_gets_each_event_once(receiver: Receiver, sender: Sender) -> None:
    receiver.statuses = [403]

    assert sender.send([event(1), event(2)]) == 2

    assert [ids for _, ids in received(receiver)] == [["1", "2"], ["1"], ["2"]]


def test_transient_failure_is_retried(receiver: Receiver, sender: Sender) -> None:
    receiver.statuses = [503, 429, 202]

    assert sender.send([event(1)]) == 0

    assert len(received(receiver)) == 3


def test_retries_are_limited(receiver: Receiver, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    receiver.statuses = [503]

    assert sender.send([event(1), event(2)]) == 2
    assert sender.send([event(3)]) == 1

    assert len(received(receiver)) == 6
    assert [record.getMessage() for record in caplog.records] == [
        "the payload sink at 127.0.0.1 returned 503; payloads are dropped and counted until it accepts them."
    ]


def test_no_retries_while_stopping(receiver: Receiver) -> None:
    receiver.statuses = [503]
    stopping = threading.Event()
    stopping.set()

    with closing(Sender(receiver.url, stopping, batched_bytes=LIMIT)) as sender:
        assert sender.send([event(1)]) == 1

    assert len(received(receiver)) == 1


def test_unreachable_sink_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with closing(Sender(f"http://127.0.0.1:{port}/", threading.Event(), batched_bytes=LIMIT)) as sender:
        assert sender.send([event(1), event(2)]) == 2
        assert sender.send([event(3)]) == 1

    assert len(caplog.records) == 1
    assert "cannot be reached" in caplog.text


def test_connection_closed_by_the_sink_is_reopened(receiver: Receiver, sender: Sender) -> None:
    assert sender.send([event(1)]) == 0
    sender.close()
    assert sender.send([event(2)]) == 0

    assert len(receiver.connections) == 2


def test_names_under_localhost_are_this_machine(receiver: Receiver) -> None:
    url = receiver.url.replace("127.0.0.1", "sink.default.localhost") + "?a=b"

    with closing(Sender(url, threading.Event(), batched_bytes=LIMIT)) as sender:
        assert sender.send([event(1)]) == 0

    path, headers, _ = receiver.next()
    assert path == "/events?a=b"
    assert headers["host"].startswith("sink.default.localhost:")
