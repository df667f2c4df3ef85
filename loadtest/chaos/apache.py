"""Brokers of Apache Kafka as processes. The program is downloaded by Maven, once, into the user's cache."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from common.errors import TidegateError
from loadtest.chaos.processes import Process

VERSION = "4.1.0"
_NEEDED = {"java": "Java 17 or newer", "mvn": "Maven"}
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.tidegate</groupId><artifactId>apache-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
STARTED = "Kafka Server started"
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0
CONTROLLER, DIRECT = "CONTROLLER", "DIRECT"
"""The listeners beside those of workers: DIRECT is for brokers and for what observes them."""


class NoProgram(TidegateError):
    """Apache Kafka is not here and cannot be downloaded."""


def libraries() -> Path:
    """Return the folder with Apache Kafka's jars. Raises NoProgram."""
    for program, name in _NEEDED.items():
        if shutil.which(program) is None:
            raise NoProgram(f"{program} is not on the PATH", remedy=f"install {name}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"
    found = cache / f"kafka-{VERSION}"
    if not found.exists():
        _download(found)
    return found


def _download(found: Path) -> None:
    # Complete or not at all, also when two processes download at once.
    half = found.with_name(f"{found.name}.{uuid.uuid4().hex}")
    half.mkdir(parents=True)
    try:
        (half / "pom.xml").write_text(_POM)
        copy = ["mvn", "-q", "-B", "-f", str(half / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={half / 'lib'}"]
        done = subprocess.run(copy, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise NoProgram(f"Maven cannot fetch Apache Kafka: {done.stdout.strip()[:500]}")
        if not found.exists():
            (half / "lib").rename(found)
    finally:
        shutil.rmtree(half)


def java(jars: Path, megabytes: int = 256) -> list[str]:
    """Return the command that runs a class of these jars, which follows it."""
    return ["java", f"-Xmx{megabytes}m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]


def cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Broker:
    """One broker, which is a controller too. Its workers reach it by the advertised ports, of proxies."""

    def __init__(self, node: int, ports: Sequence[dict[str, int]], advertised: dict[str, int], folder: Path) -> None:
        self.node = node
        self.port = ports[node][DIRECT]
        self._folder = folder
        self._properties = folder / f"broker-{node}.properties"
        self._lines = _properties(node, ports, advertised, folder / f"data-{node}")
        self.process: Process | None = None

    def format(self, jars: Path, cluster: str) -> None:
        """Write the configuration and an empty log. Raises NoProgram."""
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._lines.items()))
        # In one argument: an identifier may begin with a hyphen.
        command = [*java(jars), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self._properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise NoProgram(f"Apache Kafka cannot be set up: {(done.stdout + done.stderr).strip()[-500:]}")
        self.process = Process(
            f"broker {self.node}", [*java(jars), "kafka.Kafka", str(self._properties)], {}, self._folder / f"broker-{self.node}.log"
        )

    @property
    def running(self) -> Process:
        if self.process is None:
            raise RuntimeError("the broker was not set up.")
        return self.process

    async def start(self) -> None:
        """Start it and wait until it serves. Raises ProcessFailed."""
        self.running.start()
        await self.running.logged(STARTED, _START_SECONDS)

    async def terminate(self) -> None:
        await self.running.terminate(_STOP_SECONDS)


def _properties(node: int, ports: Sequence[dict[str, int]], advertised: dict[str, int], data: Path) -> dict[str, str]:
    own, copies = ports[node], min(3, len(ports))
    least = min(2, copies)
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{number}@127.0.0.1:{other[CONTROLLER]}" for number, other in enumerate(ports)),
        "controller.listener.names": CONTROLLER,
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in own.items()),
        "advertised.listeners": ",".join(
            f"{name}://127.0.0.1:{advertised.get(name, port)}" for name, port in own.items() if name != CONTROLLER
        ),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in own),
        "inter.broker.listener.name": DIRECT,
        "log.dirs": str(data),
        "num.network.threads": "2",
        "num.io.threads": "2",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(least),
        "unclean.leader.election.enable": "false",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(least),
        "transaction.state.log.num.partitions": "3",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A broker that was killed is replaced as leader after this: 9 s unless set.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "replica.lag.time.max.ms": "5000",
        "controller.quorum.election.timeout.ms": "1000",
        "controller.quorum.fetch.timeout.ms": "2000",
        "log.message.timestamp.type": "LogAppendTime",
    }
