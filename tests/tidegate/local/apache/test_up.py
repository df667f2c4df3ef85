"""`tidegate up --kafka apache`: a stream is scored, its topics survive a restart, and no broker outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from eventing.codecs.kafka import Message
from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition
from tests.tidegate.local.calls import is_gone
from tidegate.cli import run
from tidegate.local import state

Object = dict[str, Any]

# Answers each event of a batch with its data.
FUNCTION = """
    import json, os
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps([{**event, "id": "scored-" + event["id"]} for event in events]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/cloudevents-batch+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args): pass

    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def manifests(folder: Path) -> Path:
    (folder / "scorer.py").write_text(textwrap.dedent(FUNCTION))
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "scorer"},
        "spec": {"template": {"spec": {"containers": [{"image": "scorer", "command": ["python", str(folder / "scorer.py")]}]}}},
    }
    env = {"TIDEGATE_STREAM_INPUT": "in", "TIDEGATE_STREAM_OUTPUT": "out", "K_SINK": "http://scorer.default.svc.cluster.local"}
    container = {"name": "stream", "image": "stream", "env": [{"name": name, "value": value} for name, value in env.items()]}
    spec = {
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {"metadata": {"labels": {"app": "worker"}}, "spec": {"containers": [container]}},
    }
    worker = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec}
    path = folder / "manifests.yaml"
    path.write_text(f"{json.dumps(service)}\n---\n{json.dumps(worker)}\n")
    return path


class Running:
    """A process `tidegate up --kafka apache`, once it runs."""

    def __init__(self, process: asyncio.subprocess.Process, found: state.Running, folder: Path) -> None:
        self.process = process
        self.state_dir = folder
        self.cluster = cluster_of(Broker(found.bootstrap_servers))
        self.kafka = found.kafka

    def broker(self) -> int:
        """The process of Apache Kafka: the child whose command line has its class."""
        (pid,) = [pid for pid in children(self.process.pid) if "kafka.Kafka" in command_line(pid)]
        return pid

    def records(self, topic: str, count: int) -> list[bytes | None]:
        """That many records of a topic from its beginning, and all that follow at once."""
        with closing(self.cluster.consumer()) as consumer, closing(self.cluster.producer()) as producer:
            consumer.assign([TopicPartition(topic, number) for number in producer.partitions_for(topic)])
            found: list[bytes | None] = []
            while len(found) < count:
                found += [record.value for batch in consumer.poll(20).values() for record in batch]
            return sorted(found + [record.value for batch in consumer.poll(0.1).values() for record in batch], key=str)

    def publish(self, *values: bytes) -> None:
        with closing(self.cluster.producer()) as producer:
            for value in values:
                producer.send("in", Message(value, value, []))
            producer.flush(20)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] if sys.platform == "linux" else []


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")


@asynccontextmanager
async def up(folder: Path, *options: str) -> AsyncIterator[Running]:
    command = ["-m", "tidegate", "up", str(folder / "manifests.yaml"), "--port", "0", "--state-dir", str(folder / "state"), *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--kafka",
        "apache",
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TIDEGATE_STREAM_COMMIT_SECONDS": "0.1"},
    )
    assert process.stderr is not None
    said = b""
    try:
        while (found := state.read(folder / "state")) is None:
            line = await process.stderr.readline()
            said += line
            assert line, said.decode()
            if b"is the gateway" in line:
                found = state.read(folder / "state")
                assert found is not None
                break
        reading = asyncio.create_task(process.stderr.read())
        yield Running(process, found, folder / "state")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
    await reading


async def test_stream_is_scored_and_its_topics_survive_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifests(tmp_path)

    async with up(tmp_path) as first:
        assert first.kafka == "apache"
        await asyncio.to_thread(first.publish, b'"a"', b'"b"')
        assert await asyncio.to_thread(first.records, "out", 2) == [b'"a"', b'"b"']
        stopped = first.broker()
    assert first.process.returncode == 0
    assert is_gone(stopped)
    async with up(tmp_path) as second:
        # The worker goes on where it was: nothing is scored twice.
        await asyncio.to_thread(second.publish, b'"c"')
        assert await asyncio.to_thread(second.records, "out", 3) == [b'"a"', b'"b"', b'"c"']
        for command in (["status"], ["tail", "out", "--from-beginning", "--count", "3"]):
            assert await asyncio.to_thread(run, [*command, "--state-dir", str(second.state_dir)]) == 0
        shown = capsys.readouterr().out
        assert "(apache)" in shown
        assert shown.count("scored-") == 3
        broker = second.broker()
        second.process.kill()
        await second.process.wait()
        async with asyncio.timeout(20):
            while not is_gone(broker):  # noqa: ASYNC110 the end of another's child sends no event
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kafka", "apache", "--bootstrap-servers", "127.0.0.1:1"], "--kafka apache starts a broker, and --bootstrap-servers names one"),
        (["--fresh"], "--fresh deletes the topics of --kafka apache, which is not given"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", *options]) == 1
    assert said in capsys.readouterr().err
