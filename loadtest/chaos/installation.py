"""All that takes part in a run: brokers, workers, the router, the model function, and the networks between them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from common import http_client
from common.ports import stable_ports
from loadtest.chaos import apache, reading
from loadtest.chaos.apache import CONTROLLER, DIRECT, Broker
from loadtest.chaos.function import FAULTS, PATH, Mode
from loadtest.chaos.plan import Fault
from loadtest.chaos.processes import Process, ProcessFailed
from loadtest.chaos.proxy import Proxy
from loadtest.chaos.workload import MODEL
from loadtest.router.platform import platform, service

PARTITIONS = 12
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_TICK_SECONDS = 0.1
STREAM_WORKER = (sys.executable, "-m", "functions.stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is started."""

    workers: int = 3
    brokers: int = 3
    router: bool = True
    client: str = "kafka-python"
    exactly_once: bool = False
    session_seconds: float = 6.0
    partitions: int = PARTITIONS
    worker: Sequence[str] = STREAM_WORKER
    """The command of a worker."""
    faults: tuple[Fault, ...] = ()
    """Only these kinds, if any are named."""


@dataclass(frozen=True, slots=True)
class Names:
    """The topics and the group of a run."""

    input: str = "events"
    output: str = "results"
    deadletter: str = "events.deadletter"
    group: str = "chaos"


@dataclass(slots=True)
class Installation:
    """The running parts. `proxies` are those of a worker to each broker; the last worker joins by a fault only."""

    parts: Parts
    names: Names
    brokers: list[Broker]
    proxies: list[list[Proxy]]
    sinks: list[Proxy]
    workers: list[Process]
    ports: list[int]
    """The ports of the workers' health."""
    function: Process
    function_port: int
    router: Process | None
    client: aiohttp.ClientSession
    exits: list[str] = field(default_factory=list)
    """The ends of workers that no fault has caused."""

    @property
    def servers(self) -> str:
        """The brokers, without a proxy."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    async def answer(self, mode: Mode, share: float) -> None:
        """Have the function answer a share of its calls in this way. A function that is down stays as it is."""
        with contextlib.suppress(aiohttp.ClientError):
            body = orjson.dumps({"mode": mode, "share": share})
            async with self.client.post(f"http://127.0.0.1:{self.function_port}{FAULTS}", data=body):
                pass

    async def ready(self, workers: Sequence[int]) -> None:
        """Wait until these workers are members of the group. Raises ProcessFailed."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                for number in workers:
                    while not await self._is_ready(number):
                        if (status := self.workers[number].status) is not None:
                            raise ProcessFailed(f"worker {number} ended with {status}: {self.workers[number].last_line()}")
                        await asyncio.sleep(_TICK_SECONDS)
        except TimeoutError:
            raise ProcessFailed(f"a worker is not ready after {_READY_SECONDS:g} s (see {self.workers[0].log.parent})") from None

    async def _is_ready(self, number: int) -> bool:
        try:
            async with self.client.get(f"http://127.0.0.1:{self.ports[number]}/health/readiness") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def supervise(self) -> None:
        """Start each worker again that has ended without a fault, as a Deployment does."""
        while True:
            for worker in self.workers:
                if worker.wanted and worker.status is not None:
                    self.exits.append(f"{worker.name} ended with {worker.status}: {worker.last_line()}")
                    worker.start()
            await asyncio.sleep(_TICK_SECONDS)

    async def stop_workers(self) -> None:
        """End the workers in order; one that does not end so counts as an exit."""
        wanted = [worker for worker in self.workers if worker.wanted]
        for worker, in_order in zip(wanted, await asyncio.gather(*(worker.terminate(_STOP_SECONDS) for worker in wanted)), strict=True):
            if not in_order:
                self.exits.append(f"{worker.name} did not stop in order: {worker.status}, {worker.last_line()}")


@asynccontextmanager
async def installed(parts: Parts, folder: Path) -> AsyncIterator[Installation]:
    """Start everything, with its logs and data in a folder, and end it with the block. Raises TidegateError."""
    names = Names()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(http_client.session(timeout_seconds=10.0))
        brokers, proxies = await _brokers(stack, parts, folder)
        function_port, router_port, *ports = stable_ports(2 + parts.workers + 1)
        function = _process(stack, "function", [sys.executable, "-m", "loadtest.chaos.function", str(function_port)], {}, folder)
        router = _router(stack, function_port, router_port, folder) if parts.router else None
        sinks = [await _proxy(stack, Proxy(function_port if router is None else router_port)) for _ in range(parts.workers + 1)]
        bootstrap = [",".join(f"127.0.0.1:{proxy.port}" for proxy in row) for row in proxies]
        workers = [
            _process(stack, f"worker-{number}", parts.worker, _environ(parts, names, bootstrap[number], sinks[number].port, port), folder)
            for number, port in enumerate(ports)
        ]
        found = Installation(parts, names, brokers, proxies, sinks, workers, ports, function, function_port, router, client)
        topics = [names.input, names.output, names.deadletter]
        await asyncio.to_thread(reading.create, found.servers, topics, parts.partitions, min(3, parts.brokers))
        for process in (function, *([] if router is None else [router]), *workers[: parts.workers]):
            process.start()
        await found.ready(range(parts.workers))
        yield found


async def _brokers(stack: AsyncExitStack, parts: Parts, folder: Path) -> tuple[list[Broker], list[list[Proxy]]]:
    """Start the brokers, each with a listener for each worker, which a proxy stands in front of."""
    jars, cluster = await asyncio.to_thread(apache.libraries), apache.cluster_id()
    listeners = [f"WORKER{number}" for number in range(parts.workers + 1)]
    names = [CONTROLLER, DIRECT, *listeners]
    free = iter(stable_ports(parts.brokers * len(names)))
    ports = [{name: next(free) for name in names} for _ in range(parts.brokers)]
    proxies = [[await _proxy(stack, Proxy(own[listener], frames=True)) for own in ports] for listener in listeners]
    brokers = []
    for node in range(parts.brokers):
        advertised = {listener: row[node].port for listener, row in zip(listeners, proxies, strict=True)}
        brokers.append(Broker(node, ports, advertised, folder))
    await asyncio.gather(*(asyncio.to_thread(broker.format, jars, cluster) for broker in brokers))
    for broker in brokers:
        stack.callback(broker.running.kill)
    await asyncio.gather(*(broker.start() for broker in brokers))
    return brokers, proxies


def _router(stack: AsyncExitStack, function_port: int, port: int, folder: Path) -> Process:
    api = stack.enter_context(platform([service(MODEL, function_port, {"v1": 100})]))
    environ = {"PORT": str(port), "TIDEGATE_HOST": "127.0.0.1", "TIDEGATE_KUBERNETES_API": api.url}
    return _process(stack, "router", [sys.executable, "-m", "functions.router"], environ, folder)


def _environ(parts: Parts, names: Names, servers: str, sink: int, port: int) -> dict[str, str]:
    delivery = {"TIDEGATE_STREAM_DELIVERY": "exactly-once"} if parts.exactly_once else {}
    return delivery | {
        "TIDEGATE_BOOTSTRAP_SERVERS": servers,
        "TIDEGATE_KAFKA_CLIENT": parts.client,
        "TIDEGATE_STREAM_INPUT": names.input,
        "TIDEGATE_STREAM_OUTPUT": names.output,
        "TIDEGATE_STREAM_DEADLETTER": names.deadletter,
        "TIDEGATE_STREAM_GROUP": names.group,
        "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS": str(parts.session_seconds),
        # Small batches, and many of them at a time: the more there is to confuse.
        "TIDEGATE_STREAM_BATCH_SIZE": "32",
        "TIDEGATE_STREAM_REQUEST_TIMEOUT_SECONDS": "5",
        "K_SINK": f"http://127.0.0.1:{sink}{PATH}",
        "TIDEGATE_HOST": "127.0.0.1",
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }


def _process(stack: AsyncExitStack, name: str, command: Sequence[str], environ: dict[str, str], folder: Path) -> Process:
    process = Process(name, command, environ, folder / f"{name}.log")
    stack.callback(process.kill)
    return process


async def _proxy(stack: AsyncExitStack, proxy: Proxy) -> Proxy:
    await proxy.start()
    stack.push_async_callback(proxy.close)
    return proxy
