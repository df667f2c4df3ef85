from __future__ import annotations

from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED
from loadtest.compare.wire import request
from loadtest.stream.failing import answer
from loadtest.stream.records import FAILING


def test_events_of_the_failing_key_alone_get_a_failure_that_is_worth_a_retry() -> None:
    keys = ["N1", FAILING.decode(), "N2"]
    attributes = {"specversion": "1.0", "source": "/airlines/UA", "type": "departed", "datacontenttype": "application/json"}
    events = [Event({**attributes, "id": str(number), "partitionkey": key}, {"flight": number}) for number, key in enumerate(keys)]
    response = answer(request("/models/flights", json.encode_batch(events)))
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    replies = json.decode_batch(body)
    assert [reply.type for reply in replies] == [INFERENCE_COMPLETED, INFERENCE_FAILED, INFERENCE_COMPLETED]
    assert [reply.attributes["causationid"] for reply in replies] == ["0", "1", "2"]
    assert Problem.from_json(replies[1].data).status == 503
