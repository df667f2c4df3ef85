"""The ways that are compared: how each is started for a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.stream.job import JARS, Job, deadletter_of
from loadtest.stream.peers import FLINK, QUIX, jars_of

CLIENTS = {"kafka-python": "kafka-python", "confluent": "confluent-kafka"}
DELIVERY = "TIDEGATE_STREAM_DELIVERY"
EXACTLY_ONCE = "exactly-once"


@dataclass(frozen=True, slots=True)
class Start:
    """A command with its variables."""

    command: list[str]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way. `peer` names the environment of its own that it needs."""

    name: str
    group: str
    """By which it is chosen on the command line."""
    title: str
    start: Callable[[Job, str], Start]
    """For a job, by the Python of its environment."""
    routed: bool = False
    peer: str | None = None
    killed: bool = False
    """Whether what it keeps after SIGKILL is measured."""

    @property
    def client(self) -> str | None:
        """The Kafka client; None for a peer, which has its own."""
        if self.peer is not None:
            return None
        return "confluent" if self.name.endswith("-confluent") else "kafka-python"


def _loop(choice: str) -> Callable[[Job, str], Start]:
    return lambda job, _: Start([sys.executable, "-m", "loadtest.stream.loops", choice, *job.arguments()], {})


def _peer(module: str, choice: str) -> Callable[[Job, str], Start]:
    # This folder is no package of that environment: it is imported from the working directory.
    folder = str(Path.cwd())
    return lambda job, python: Start(
        [python, "-m", f"loadtest.stream.{module}", choice, *job.arguments()], {"PYTHONPATH": folder, JARS: str(jars_of(python))}
    )


def worker(client: str, extra: Mapping[str, str] = {}) -> Callable[[Job, str], Start]:
    """Return how the worker is started with a client and with these variables."""

    def start(job: Job, _: str) -> Start:
        environ = {
            "TIDEGATE_BOOTSTRAP_SERVERS": job.servers,
            "TIDEGATE_KAFKA_CLIENT": CLIENTS[client],
            "TIDEGATE_STREAM_INPUT": job.input,
            "TIDEGATE_STREAM_OUTPUT": job.output,
            "TIDEGATE_STREAM_DEADLETTER": deadletter_of(job.output),
            "TIDEGATE_STREAM_GROUP": job.group,
            "K_SINK": job.sink,
            "TIDEGATE_HOST": "127.0.0.1",
            "PORT": "0",
            **extra,
        }
        return Start([sys.executable, "-m", "functions.stream"], environ)

    return start


WAYS = (
    Way(name="limit", group="limit", title="limit: one process, kafka-python", start=_loop("limit-kafka-python")),
    Way(name="limit-confluent", group="limit", title="limit: one process, confluent-kafka", start=_loop("limit-confluent")),
    Way(name="worker", group="worker", title="stream worker, kafka-python", start=worker("kafka-python"), killed=True),
    Way(name="worker-confluent", group="worker", title="stream worker, confluent-kafka", start=worker("confluent"), killed=True),
    Way(
        name="exactly-once",
        group="exactly-once",
        title="stream worker, kafka-python, exactly once",
        start=worker("kafka-python", {DELIVERY: EXACTLY_ONCE}),
        killed=True,
    ),
    Way(
        name="exactly-once-confluent",
        group="exactly-once",
        title="stream worker, confluent-kafka, exactly once",
        start=worker("confluent", {DELIVERY: EXACTLY_ONCE}),
        killed=True,
    ),
    Way(name="router", group="router", title="stream worker through the router, kafka-python", start=worker("kafka-python"), routed=True),
    Way(
        name="router-confluent",
        group="router",
        title="stream worker through the router, confluent-kafka",
        start=worker("confluent"),
        routed=True,
    ),
    Way(name="single", group="single", title="one event a request, 64 in flight, kafka-python", start=_loop("single-kafka-python")),
    Way(
        name="single-confluent", group="single", title="one event a request, 64 in flight, confluent-kafka", start=_loop("single-confluent")
    ),
    Way(name="quix", group=QUIX, title="Quix Streams, the model in its process", start=_peer("quix", "model"), peer=QUIX, killed=True),
    Way(name="quix-call", group=QUIX, title="Quix Streams, one event a request", start=_peer("quix", "call"), peer=QUIX),
    Way(name="quix-batch", group=QUIX, title="Quix Streams, a sink of batches", start=_peer("quix", "batch"), peer=QUIX, killed=True),
    Way(
        name="flink",
        group=FLINK,
        title="PyFlink, the model in a vectorized function",
        start=_peer("flink", "model"),
        peer=FLINK,
        killed=True,
    ),
)
