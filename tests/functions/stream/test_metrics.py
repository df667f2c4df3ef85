from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from functions.stream.metrics import Metrics, PartitionLag, Reading, exposition, joined
from functions.stream.report import Tally

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    return parsed(exposition(metrics.collect()))


def parsed(text: bytes) -> Samples:
    families = text_string_to_metric_families(text.decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_lag_has_the_names_of_the_usual_exporters() -> None:
    metrics = Metrics()
    metrics.watch(
        lambda: Reading(group="g", topic="in", tally=Tally(), assigned=2, lags={3: PartitionLag(7, 1.5), 0: PartitionLag(0, 0.0)})
    )
    labels = {"consumergroup": "g", "topic": "in"}
    assert value(metrics, "kafka_consumergroup_lag", **labels, partition="3") == 7
    assert value(metrics, "kafka_consumergroup_group_lag_seconds", **labels, partition="3") == 1.5
    assert value(metrics, "kafka_consumergroup_group_lag_seconds", **labels, partition="0") == 0
    assert value(metrics, "tidegate_stream_assigned_partitions") == 2
    assert not [name for name, _ in samples(metrics) if name == "tidegate_stream_registry_up"]


def test_metrics_of_many_streams_have_their_names() -> None:
    streams = {name: Metrics() for name in ("a", "b")}
    streams["a"].retried(2)
    streams["b"].retried(3)
    text = exposition(joined(streams))
    found = {dict(labels)["stream"]: count for (name, labels), count in parsed(text).items() if name == "tidegate_stream_retries_total"}
    assert found == {"a": 2, "b": 3}
    for name in ("process_cpu_seconds", "tidegate_stream_retries"):
        assert text.count(f"# TYPE {name}_total ".encode()) == 1


def test_records_are_counted_by_result_without_a_call_for_each() -> None:
    metrics, tally = Metrics(), Tally()
    metrics.watch(lambda: Reading(group="g", topic="in", tally=tally, registry_answers=False))
    tally.scored, tally.dead_lettered, tally.skipped, tally.passed_over = 1, 2, 3, 4
    found = {dict(labels)["result"]: count for (name, labels), count in samples(metrics).items() if name == "tidegate_stream_records_total"}
    assert found == {"scored": 1, "dead-lettered": 2, "skipped": 3, "passed-over": 4}
    assert value(metrics, "tidegate_stream_registry_up") == 0


@given(st.lists(st.integers(-(2**40), 2**40) | st.integers(0, 700), max_size=200))
def test_statuses_that_a_sink_invents_make_a_bounded_set_of_series(statuses: list[int]) -> None:
    metrics = Metrics()
    metrics.dead_lettered(statuses)
    for status in statuses:
        metrics.calling(1)
        metrics.called(status, 0.1)
    letters = [dict(labels)["code"] for name, labels in samples(metrics) if name == "tidegate_stream_dead_letters_total"]
    calls = [dict(labels)["code"] for name, labels in samples(metrics) if name == "tidegate_stream_calls_total"]
    assert len(letters) < 80
    assert set(calls) <= {"1xx", "2xx", "3xx", "4xx", "5xx", "other"}
    counted = [count for (name, _), count in samples(metrics).items() if name == "tidegate_stream_dead_letters_total"]
    assert sum(counted) == len(statuses)


def test_dead_letters_are_counted_by_status() -> None:
    metrics = Metrics()
    metrics.dead_lettered([400, 400, 413, 499, 777])
    assert value(metrics, "tidegate_stream_dead_letters_total", code="400") == 2
    assert value(metrics, "tidegate_stream_dead_letters_total", code="413") == 1
    assert value(metrics, "tidegate_stream_dead_letters_total", code="4xx") == 1
    assert value(metrics, "tidegate_stream_dead_letters_total", code="other") == 1


async def test_time_of_a_phase_counts_even_if_it_fails() -> None:
    metrics = Metrics()

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await metrics.timed("commit", fail())
    assert await metrics.timed("wait", asyncio.sleep(0, "records")) == "records"
    for phase in ("commit", "wait"):
        assert value(metrics, "tidegate_stream_phase_seconds_count", phase=phase) == 1


def test_time_of_decoding_excludes_that_of_the_receiver() -> None:
    metrics, active = Metrics(), []

    def decode() -> Iterator[int]:
        for number in range(3):
            active.append(number)
            yield number

    assert [number for number in metrics.decoding(decode()) if active == list(range(number + 1))] == [0, 1, 2]
    assert value(metrics, "tidegate_stream_phase_seconds_count", phase="decode") == 3
