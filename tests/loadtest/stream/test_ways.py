from __future__ import annotations

import pytest

from loadtest.stream.__main__ import PARTS, wanted
from loadtest.stream.job import Job, parse
from loadtest.stream.ways import DELIVERY, WAYS, worker

JOB = Job(
    servers="127.0.0.1:9092", input="in", output="out", group="g", model="/m", sink="http://127.0.0.1:1/models/flights", state="/state"
)


def test_job_arrives_as_it_was_given() -> None:
    assert parse(["a", "b"], ["b", *JOB.arguments()]) == ("b", JOB)


def test_without_a_choice_everything_is_measured() -> None:
    found = wanted([])
    assert found.parts == frozenset(PARTS)
    assert found.ways == WAYS


@pytest.mark.parametrize(
    ("only", "parts", "ways"),
    [
        (["rates", "limit"], {"rates"}, {"limit", "limit-confluent"}),
        (["kills"], {"kills"}, {way.name for way in WAYS}),
        (["quix"], set(PARTS), {"quix", "quix-call", "quix-batch"}),
    ],
)
def test_parts_and_ways_are_chosen_apart(only: list[str], parts: set[str], ways: set[str]) -> None:
    found = wanted(only)
    assert found.parts == parts
    assert {way.name for way in found.ways} == ways


def test_one_client_leaves_the_peers() -> None:
    found = wanted(["worker", "quix"], "confluent")
    assert {way.name for way in found.ways} == {"worker-confluent", "quix", "quix-call", "quix-batch"}


def test_worker_is_started_for_its_job() -> None:
    environ = worker("confluent", {DELIVERY: "exactly-once"})(JOB, "").environ
    assert environ["TIDEGATE_KAFKA_CLIENT"] == "confluent-kafka"
    assert environ["TIDEGATE_STREAM_INPUT"] == "in"
    assert environ["K_SINK"] == JOB.sink
    assert environ[DELIVERY] == "exactly-once"
