"""`tidegate streams` as a user runs it, on the embedded broker's kind and on Apache Kafka."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, CommittedOffset, ConsumerOptions, TopicPartition
from functions.stream.checkpoint import Checkpoint, Position
from tidegate import cli

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stream(apache: Apache) -> tuple[str, str]:
    """The address of Apache Kafka, and a topic of which 2 of 5 records are finished."""
    topic, servers = f"departed-{uuid.uuid4().hex[:8]}", apache.at("PLAINTEXT")
    cluster = cluster_of(Broker(servers))
    with closing(cluster.admin()) as admin, closing(cluster.producer()) as producer:
        admin.create_topic(topic, 1)
        for number in range(5):
            producer.send(topic, Message(None, b"%d" % number, []), 0)
        producer.flush(10)
    with closing(cluster.consumer(ConsumerOptions(group=f"tidegate-{topic}"))) as consumer:
        checkpoint = Checkpoint({"scored": Position(0, 2), f"{topic}.deadletter": Position(0, 0)})
        consumer.commit({TopicPartition(topic, 0): CommittedOffset(2, checkpoint.to_text(2))})
    return servers, topic


@pytest.fixture
def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command in this process, where no `tidegate up` is running."""
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = cli.run(["streams", *arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return run


def test_streams_of_a_real_broker_are_found_and_described(streams: Call, stream: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    servers, topic = stream
    monkeypatch.setenv("TIDEGATE_BOOTSTRAP_SERVERS", servers)
    options = ("--seconds", "0.6")
    done = streams("-o", "json", *options)
    assert done.returncode == 0, done.stderr
    (found,) = [one for one in json.loads(done.stdout)["streams"] if one["input"] == topic]
    assert (found["group"], found["output"], found["workers"], found["lag_records"]) == (f"tidegate-{topic}", "scored", 0, 3)
    assert (found["state"], found["forecast"], found["rate_in"], found["rate_out"]) == ("standing", "not moving: 3 events wait", 0, 0)
    assert 0 < found["lag_seconds"] < 300
    assert [one["position"] for one in found["partitions"]] == [2]

    done = streams(topic, "-o", "yaml", *options)
    assert yaml.safe_load(done.stdout)["streams"][0]["lag_records"] == 3

    done = streams(topic, "--partitions", *options)
    heads = [line.split() for line in done.stdout.splitlines()]
    assert heads[0][:5] == ["stream", "group", "input", "output", "workers"]
    assert "not moving: 3 events wait" in done.stdout
    assert [topic, "0", "2", "5", "3"] in [head[:5] for head in heads]


def test_watch_prints_a_line_for_each_observation_until_interrupted(stream: tuple[str, str], tmp_path: Path) -> None:
    servers, topic = stream
    command = [sys.executable, "-m", "tidegate", "streams", topic, "--watch", "-o", "json", "--seconds", "0.5"]
    options = ["--bootstrap-servers", servers, "--state-dir", str(tmp_path)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert "interrupted" in process.stderr.read()
    assert process.returncode == 130
    assert [line["streams"][0]["lag_records"] for line in lines] == [3, 3]
    assert lines[0]["streams"][0]["observed_seconds"] < lines[1]["streams"][0]["observed_seconds"]


def test_streams_of_a_running_tidegate_up(call: Call) -> None:
    done = call("streams", "-o", "json", "--seconds", "0.6")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["streams"]
    assert (found["name"], found["input"], found["output"]) == ("stream-flights", "flights.departed", "flights.scored")
    assert (found["workers"], found["lag_records"], found["lag_seconds"], found["state"]) == (1, 0, 0, "caught-up")
    assert json.loads(call("streams", "flights.departed", "-o", "json", "--seconds", "0").stdout)["streams"][0]["name"] == "stream-flights"
    status = call("status")
    assert re.search(r"stream-flights +1 of 1 .* flights.departed +0 records, 0 s\n", status.stdout), status.stdout
    missing = call("streams", "prices")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no stream here is named prices or reads a topic prices; name one of these: stream-flights." in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 1, "no tidegate is running here"),
        (("--group", "mine"), 2, "it needs the topic that the group reads"),
        (("--watch", "-o", "yaml"), 2, "write -o json"),
    ],
)
def test_wrong_use_gets_one_sentence(streams: Call, arguments: tuple[str, ...], status: int, words: str) -> None:
    done = streams(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
