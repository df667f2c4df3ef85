"""What all runs share: the broker, the model function, the router before it, and the folder of the logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.compare.processes import Process, free_port, running
from loadtest.compare.wire import request
from loadtest.router.platform import platform, service
from loadtest.stream.broker import Kafka, kafka
from loadtest.stream.job import Job
from loadtest.stream.peers import python_of
from loadtest.stream.processes import Running, started
from loadtest.stream.ways import Way

_MODEL = "flights"
_READY = request(f"/models/{_MODEL}", b"[]", "Content-Type: application/cloudevents-batch+json")


@dataclass(frozen=True, slots=True)
class Setup:
    """The running parts."""

    kafka: Kafka
    function: Process
    router: Process
    model: Path
    folder: Path

    def sink(self, *, routed: bool) -> str:
        return f"http://127.0.0.1:{(self.router if routed else self.function).port}/models/{_MODEL}"

    def job(self, way: Way, topic: str, output: str, sink: str | None = None) -> Job:
        """Return the job of a way with a consumer group of its own, by default for the model function."""
        state = self.folder / output
        state.mkdir(parents=True, exist_ok=True)
        return Job(
            servers=self.kafka.servers,
            input=topic,
            output=output,
            group=f"group-of-{output}",
            model=str(self.model.resolve()),
            sink=sink or self.sink(routed=way.routed),
            state=str(state.resolve()),
        )

    @contextmanager
    def started(self, way: Way, job: Job) -> Iterator[Running]:
        """Start a way on a job, and end it with the block. Raises NotInstalled."""
        start = way.start(job, python_of(way.peer, self.folder / "peers"))
        with started(start.command, start.environ, self.folder / f"{job.output}.log") as found:
            yield found


@contextmanager
def everything(model: Path, folder: Path) -> Iterator[Setup]:
    """Start all parts, with their logs in a folder. Raises TidegateError."""
    log = folder / "sinks.log"
    with ExitStack() as stack:
        broker = stack.enter_context(kafka(folder))
        ports = [free_port(), free_port()]
        environ = {"TIDEGATE_MODEL": str(model), "TIDEGATE_HOST": "127.0.0.1", "PORT": str(ports[0])}
        function = stack.enter_context(running([sys.executable, "-m", "functions.flights"], environ, ports[0], _READY, log))
        api = stack.enter_context(platform([service(_MODEL, ports[0], {"v1": 100})]))
        environ = {"TIDEGATE_KUBERNETES_API": api.url, "TIDEGATE_HOST": "127.0.0.1", "PORT": str(ports[1])}
        router = stack.enter_context(running([sys.executable, "-m", "functions.router"], environ, ports[1], _READY, log))
        yield Setup(broker, function, router, model, folder)
