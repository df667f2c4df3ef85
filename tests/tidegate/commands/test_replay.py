"""`tidegate replay` of a stream that has run: what the candidate would have answered, beside what was answered."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.lag import lag
from eventing.kafka.port import TopicPartition
from functions.flights.departures import departures
from tidegate.demo.control import Workbench
from tidegate.demo.offline import Offline

Call = Callable[..., subprocess.CompletedProcess[str]]
EVENTS, BROKEN = 600, 3
TOPIC, OUTPUT, GROUP = "flights.departed", "flights.scored", "tidegate-flights.departed"


def ends(workbench: Workbench) -> dict[str, int]:
    """The records of each topic of the stream."""
    consumer = cluster_of(workbench.broker).consumer()
    try:
        topics = {
            name: [TopicPartition(name, number) for number in consumer.partitions_for(name)] for name in (OUTPUT, "flights.deadletter")
        }
        return {name: sum(consumer.end_offsets(partitions).values()) for name, partitions in topics.items() if partitions}
    finally:
        consumer.close()


@pytest.fixture(scope="session")
def streamed(workbench: Workbench, tidegate: Call, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The first flights of December, of which some are broken, have gone through the stream."""
    path = tmp_path_factory.mktemp("events") / "departures.jsonl"
    rows = [{"id": flight.id, **flight.record} for flight in departures(12)[:EVENTS]]
    rows += [{**row, "id": f"broken-{number}", "carrier": "ZZ"} for number, row in enumerate(rows[:BROKEN])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = tidegate("publish", TOPIC, str(path), "--key", "tailnum", TIDEGATE_STATE_DIR=str(workbench.state_dir))
    assert done.returncode == 0, done.stderr

    def finished(_: object) -> bool:
        if any(partition.records for partition in lag(cluster_of(workbench.broker), GROUP, TOPIC).values()):
            return False  # its last commit is still to come
        found = ends(workbench)
        return found.get(OUTPUT, 0) >= EVENTS and found.get("flights.deadletter", 0) >= BROKEN

    workbench.wait_until(60, finished)
    assert finished(None)
    return workbench


@pytest.fixture
def replay(call: Call, streamed: Workbench, tmp_path: Path) -> Call:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        given = [] if "--against" in options else ["--against", "v2"]
        topic = [] if options and not options[0].startswith("-") else [TOPIC]
        return call("replay", *topic, *options, *given, "--model", "flights", "--report", str(tmp_path / "replay.html"))

    return run


def test_candidate_is_compared_with_what_was_answered(replay: Call, streamed: Workbench, flights_models: Path, tmp_path: Path) -> None:
    before, committed = ends(streamed), lag(cluster_of(streamed.broker), GROUP, TOPIC)
    done = replay("--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["events"], found["invalid"], found["answers"]) == (EVENTS + BROKEN, 0, {"v1": EVENTS})
    outcomes = {(item["candidate"], item["stable"]): item["events"] for item in found["outcomes"]}
    assert outcomes == {("scored", "scored"): EVENTS, ("rejected", "dead-lettered"): BROKEN}
    records = {flight.id: flight.record for flight in departures(12)[:EVENTS]}
    offline = Offline(flights_models / "v1", flights_models / "v2")
    stable, candidate = (offline.scores(version, list(records.values())).astype(np.float64) for version in ("v1", "v2"))
    differences = found["agreement"]["differences"]
    assert differences["mean"] == pytest.approx((candidate - stable).mean(), rel=1e-6)
    assert differences["largest"] == pytest.approx(np.abs(candidate - stable).max(), rel=1e-6)
    assert found["agreement"]["worst"][0]["id"] == list(records)[int(np.abs(candidate - stable).argmax())]
    assert found["latency_ms"]["candidate_call"]["0.5"] > 0
    assert {item["id"] for item in found["failed"]} == {f"broken-{number}" for number in range(BROKEN)}
    # Nothing was written, and the group of the stream has not moved.
    assert (ends(streamed), lag(cluster_of(streamed.broker), GROUP, TOPIC)) == (before, committed)
    page = (tmp_path / "replay.html").read_text("utf-8")
    assert page.count("<svg") == 2
    assert "Worst cases" in page


def test_text_shows_agreement_errors_and_latency(replay: Call) -> None:
    done = replay()
    assert done.returncode == 0, done.stderr
    for words in (f"scored +scored +{EVENTS}", "same side of 0.5", "broken-0 +dead-lettered +the input carrier is 'ZZ'", "p50 .* ms"):
        assert re.search(words, done.stdout), done.stdout


def test_window_of_offsets_is_read_of_each_partition(replay: Call) -> None:
    whole, part = (json.loads(replay("--json", *window).stdout)["events"] for window in ([], ["--from", "10", "--to", "20"]))
    assert whole == EVENTS + BROKEN
    assert part == 40  # of four partitions


def test_window_of_times_is_read_by_the_records_own_times(replay: Call) -> None:
    assert json.loads(replay("--json", "--from", "1d").stdout)["events"] == EVENTS + BROKEN


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--against", "v7"], "model flights has no revision or tag v7; it has flights-00001, v1, flights-00002, v2"),
        (["--against", "v1"], r"v1 \(flights-00001\) is the revision that has given the answers in flights.scored; name the candidate"),
        (["--to", "1d"], r"the topic flights.departed has no record from the beginning to .*Z, and its oldest is of .*Z; choose another"),
        (["--from", "1000000"], "has no record from offset 1000000 to the end"),
        (["--from", "yesterday"], "--from is 'yesterday', which is neither a time nor an offset; write 2026-11-01T08:00"),
        (["--from", "20", "--to", "10"], "the window from offset 20 to offset 10 is empty; name a --to after --from"),
        (["--output", "nowhere"], "the topic nowhere has no answer of flights with a score .*; name the topic .* with --output"),
        (["trains"], "no stream here reads trains; name the topic of its answers with --output"),
        (["trains", "--output", OUTPUT], "the broker has no topic trains; check its name"),
    ],
    ids=["revision", "same", "times", "offsets", "no-time", "empty", "output", "topic", "no-topic"],
)
def test_bad_input_is_one_sentence(options: list[str], sentence: str, replay: Call) -> None:
    done = replay(*options)
    assert done.returncode == 1
    assert re.search(f"^tidegate: .*{sentence}", done.stderr, re.MULTILINE), done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_records_that_are_no_events_are_one_sentence(replay: Call, streamed: Workbench) -> None:
    producer = cluster_of(streamed.broker).producer()
    producer.send("notes", Message(None, b"{}", [("ce_id", b"1")]))
    producer.flush(30.0)
    producer.close()
    done = replay("notes", "--output", OUTPUT)
    assert done.returncode == 1
    assert re.search(
        r"none of the 1 records of notes from the beginning to the end is a CloudEvent \(partition \d, offset 0: the event has no \w+",
        done.stderr,
    ), done.stderr
