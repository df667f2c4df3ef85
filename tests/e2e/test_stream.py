from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from eventing.codecs.kafka import Message, decode, encode
from eventing.deadletter import problem_of
from eventing.reply import reply_id
from eventing.types import INFERENCE_COMPLETED
from tests.e2e.departures import SOURCE, departure, event

if TYPE_CHECKING:
    from tests.e2e.conftest import Await, Publish
    from tests.e2e.deployment import Kafka
    from tidegate.demo.offline import Offline

pytestmark = pytest.mark.e2e


def test_record_is_scored_onto_the_output_topic(topics: Kafka, publish: Publish, await_records: Await, offline: Offline) -> None:
    """Each record becomes a reply with its key, and with the id that its source, its id and the model determine."""
    run = uuid.uuid4().hex[:6]
    records = {f"{run}-{number}": departure(number) for number in range(300)}
    publish(topics.input, *(encode(event(id_, record, key=f"N{id_[-1]}")) for id_, record in records.items()))
    replies = await_records(topics.output, lambda found: decode(found).get("causationid") in records, count=len(records))
    events = {str(decode(reply).get("causationid")): (reply, decode(reply)) for reply in replies}
    assert len(replies) == len(events) == len(records)
    scores = dict(zip(records, offline.scores("v1", list(records.values())), strict=True))
    for id_, (record, reply) in events.items():
        assert reply.id == reply_id(SOURCE, id_, "flights")
        assert reply.type == INFERENCE_COMPLETED
        assert record.key == f"N{id_[-1]}".encode()
        assert np.float32(reply.value()["late"]) == scores[id_]


def test_invalid_record_becomes_a_dead_letter(topics: Kafka, publish: Publish, await_records: Await) -> None:
    """Invalid JSON, and an event that the model rejects, become dead letters with the reason and their own bytes."""
    run = uuid.uuid4().hex[:6]
    refused = encode(event(f"{run}-refused", {**departure(1), "carrier": "ZZ"}))
    broken = Message(None, f"{run} {{".encode(), [])
    publish(topics.input, refused, broken)

    def ours(record: Any) -> bool:
        return record.value in (refused.value, broken.value)

    letters = {record.value: record for record in await_records(topics.deadletter, ours, count=2)}
    assert "carrier is 'ZZ'" in problem_of(letters[refused.value].headers).detail
    assert dict(letters[refused.value].headers)["ce_knativeerrorcode"] == b"400"
    assert "is not JSON" in problem_of(letters[broken.value].headers).detail
    assert orjson.loads(letters[refused.value].value)["carrier"] == "ZZ"
