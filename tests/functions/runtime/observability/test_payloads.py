from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.payloads import Describe, Payloads, kserve_event, pod_namespace, tidegate_event

Receiver = Any
Make = Callable[..., Exchange]
JSON = {"request_type": "application/json", "response_type": "application/json"}


def payloads(sink: str, *, sample: float = 1.0, queue_bytes: int = 2**20, describe: Describe = tidegate_event) -> Payloads:
    return Payloads(sink, sample=sample, queue_bytes=queue_bytes, describe=describe, batches=describe is tidegate_event)


def deliver(observer: Payloads, *exchanges: Exchange) -> None:
    observer.background.start()
    for item in exchanges:
        observer.exchanged(item)
    observer.background.close()
    observer.background.join(20)


def test_both_bodies_are_correlated_events(receiver: Receiver, exchange: Make) -> None:
    done = exchange(request=b'{"id": "r-1"}', response=b'{"score":0.5}', request_id="r-1", **JSON)
    deliver(payloads(receiver.url), done)

    path, headers, body = receiver.next()
    request, response = json.loads(body)
    assert path == "/events"
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert request.pop("id") == response.pop("causationid")
    assert request.pop("correlationid") == response.pop("correlationid")
    assert response.pop("id")
    shared = {
        "specversion": "1.0",
        "source": "/models/flights",
        "datacontenttype": "application/json",
        "requestid": "r-1",
        "modelversion": "2",
        "protocol": "v2",
    }
    assert request == shared | {
        "type": "dev.tidegate.inference.request",
        "time": "2023-11-14T22:13:20.250000Z",
        "data": {"id": "r-1"},
    }
    assert response == shared | {
        "type": "dev.tidegate.inference.response",
        "time": "2023-11-14T22:13:20.253000Z",
        "status": 200,
        "data": {"score": 0.5},
    }


def test_ids_are_unique_even_for_repeated_request_ids(receiver: Receiver, exchange: Make) -> None:
    twice = [exchange(request=b"{}", response=b"{}", request_id="same", **JSON) for _ in range(2)]
    deliver(payloads(receiver.url), *twice)

    assert len({event["id"] for event in json.loads(receiver.next()[2])}) == 4


def test_events_as_kserve_sends_them(receiver: Receiver, exchange: Make) -> None:
    done = exchange(request=b'{"instances": [[1]]}', response=b'{"predictions":[0.5]}', request_id="r-1", **JSON)
    deliver(payloads(receiver.url, describe=kserve_event("flights-service", "models")), done)

    (_, request, body), (_, response, answer) = receiver.next(), receiver.next()
    assert (body, answer) == (b'{"instances": [[1]]}', b'{"predictions":[0.5]}')
    expected = {
        "ce-id": "r-1",
        "ce-inferenceservicename": "flights-service",
        "ce-namespace": "models",
        "ce-component": "predictor",
        "ce-endpoint": "default",
        "content-type": "application/json",
    }
    assert expected.items() <= request.items()
    assert expected.items() <= response.items()
    assert request["ce-type"] == "org.kubeflow.serving.inference.request"
    assert response["ce-type"] == "org.kubeflow.serving.inference.response"


def test_kserve_events_leave_out_failed_responses(receiver: Receiver, exchange: Make) -> None:
    deliver(payloads(receiver.url, describe=kserve_event("", "")), exchange(request=b"[]", response=b"{}", status=400, **JSON))

    _, headers, _ = receiver.next()
    assert headers["ce-type"].endswith("request")
    assert headers["ce-inferenceservicename"] == "flights"
    assert "ce-namespace" not in headers
    assert receiver.posts.empty()


def test_body_with_invalid_json_does_not_break_the_batch(receiver: Receiver, exchange: Make) -> None:
    bad = b'{"inputs": [}], "\xff'
    deliver(payloads(receiver.url), exchange(request=bad, response=b'{"error":"no"}', status=400, **JSON))

    request, response = json.loads(receiver.next()[2])
    assert base64.b64decode(request["data_base64"]) == bad
    assert request["datacontenttype"] == "application/octet-stream"
    assert response["data"] == {"error": "no"}


def test_binary_tensors_are_kept_unchanged(receiver: Receiver, exchange: Make) -> None:
    body = bytes(range(256))
    kinds = {"request_type": "application/octet-stream", "response_type": "application/octet-stream"}
    deliver(payloads(receiver.url), exchange(request=body, response=body * 400, **kinds))

    small, large = receiver.next(), receiver.next()
    assert base64.b64decode(json.loads(small[2])[0]["data_base64"]) == body
    assert large[2] == body * 400
    assert large[1]["ce-type"] == "dev.tidegate.inference.response"


def test_exchange_without_bodies_is_not_sent(receiver: Receiver, exchange: Make) -> None:
    deliver(payloads(receiver.url), exchange())

    assert receiver.posts.empty()


def test_bodies_are_kept_by_the_bounded_queue_only(receiver: Receiver, exchange: Make) -> None:
    observer = payloads(receiver.url)
    done = exchange(request=b"{}", response=b"{}")

    observer.exchanged(done)

    assert (done.request, done.response) == (None, None)


def test_slow_sink_drops_what_does_not_fit(receiver: Receiver, exchange: Make) -> None:
    receiver.gate.clear()
    observer = payloads(receiver.url, queue_bytes=100_000)
    observer.background.start()
    observer.exchanged(exchange(request=b"1" * 40_000, response=b"2" * 40_000))
    receiver.next()
    # The sink does not respond, and the queue does not wait for it.
    observer.exchanged(exchange(request=b"3" * 40_000, response=b"4"))
    assert observer.background.dropped == 1
    receiver.gate.set()
    observer.background.close()
    observer.background.join(20)

    assert observer.background.dropped == 1


@pytest.mark.parametrize("status", [403, 503])
def test_rejected_events_count_as_dropped(receiver: Receiver, exchange: Make, status: int) -> None:
    receiver.statuses = [status]
    observer = payloads(receiver.url)
    observer.background.stopping.set()

    deliver(observer, exchange(request=b"{}", response=b"{}", **JSON))

    assert observer.background.dropped == 2


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.floats(0, 1))
def test_replicas_agree_and_a_larger_sample_contains_a_smaller_one(request_id: str, sample: float) -> None:
    one, other = payloads("http://a", sample=sample), payloads("http://b", sample=sample)
    larger = payloads("http://a", sample=min(1.0, sample + 0.2))

    assert one.wants(request_id) == other.wants(request_id)
    assert one.wants(request_id) <= larger.wants(request_id)


@pytest.mark.parametrize("name", ["request-{}", ""])
def test_share_of_the_sample(name: str) -> None:
    observer = payloads("http://a", sample=0.25)

    wanted = sum(observer.wants(name.format(number)) for number in range(20_000))

    # Five standard deviations of 61.
    assert abs(wanted - 5_000) < 306


@pytest.mark.parametrize("request_id", ["", "r-1"])
def test_sample_of_all_and_of_none(request_id: str) -> None:
    assert payloads("http://a", sample=1.0).wants(request_id)
    assert not payloads("http://a", sample=0.0).wants(request_id)


def test_the_namespace_of_the_pod(tmp_path: Path) -> None:
    assert pod_namespace(tmp_path) == ""
    (tmp_path / "namespace").write_text("models\n")

    assert pod_namespace(tmp_path) == "models"
