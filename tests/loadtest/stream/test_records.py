from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import orjson

from eventing.codecs import kafka as codec
from eventing.types import INFERENCE_COMPLETED
from loadtest.stream.records import FAILING, KEYS, PARTITIONS, Records, cause, data_of, departure, reply


def _record(records: Records, number: int) -> SimpleNamespace:
    return SimpleNamespace(
        topic="departed",
        partition=records.partition(number),
        offset=0,
        key=records.key(number),
        value=records.value(number),
        headers=records.headers(number),
    )


def test_records_are_events_with_the_data_of_the_contract() -> None:
    event = codec.decode(_record(Records(), 4711))
    assert event.id == "4711"
    assert event.attributes["partitionkey"] == "N4711"
    data = event.value()
    assert data["flight"] == 4711
    assert {name: data[name] for name in departure()} == departure()


def test_each_key_has_one_partition_and_each_partition_as_many_records() -> None:
    records, count = Records(), 3 * KEYS
    homes = {(records.key(number), records.partition(number)) for number in range(count)}
    assert len(homes) == KEYS
    sizes = Counter(records.partition(number) for number in range(count))
    assert len(sizes) == PARTITIONS
    assert max(sizes.values()) - min(sizes.values()) <= 3


def test_one_in_so_many_records_has_the_failing_key() -> None:
    records = Records(1, failing_every=100)
    assert [number for number in range(1_000) if records.key(number) == FAILING] == list(range(0, 1_000, 100))


def test_result_of_a_loop_names_its_event_as_the_worker_does() -> None:
    value, headers = reply(17, 0.5)
    assert orjson.loads(value) == {"late": 0.5}
    assert cause(headers) == b"17"
    assert dict(headers)["ce_type"] == INFERENCE_COMPLETED.encode()
    assert cause([("ce_id", b"17")]) is None


def test_number_is_found_in_the_data() -> None:
    assert [data_of(Records().value(number))["flight"] for number in (0, 9, 123_456)] == [0, 9, 123_456]
