"""Events through a Broker and a Trigger to a warm function, on a `tidegate up` of its own: latency and throughput.

`python -m loadtest.eventing`. The latency is measured at a low rate, from the moment an event is sent to the moment
the function has it; the throughput with many senders, from the first event sent to the last one received.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from common import http_client
from common.errors import TidegateError
from loadtest.compare.processes import cpu_seconds
from loadtest.local_gateway import local_gateway
from loadtest.summary import quantile

_TYPE = "com.example.loadtest"
_MANIFESTS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: loadtest}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: loadtest
  annotations: {{kafka.eventing.knative.dev/delivery.order: {order}}}
spec:
  broker: loadtest
  filter: {{attributes: {{type: {type}}}}}
  subscriber: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: loadtest}}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: loadtest}}
spec:
  template:
    metadata: {{annotations: {{autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/max-scale: "1"}}}}
    spec:
      containers:
      - image: loadtest
        command: {command}
"""
_READY_SECONDS = 30.0


class NotDelivered(TidegateError):
    """An event was not accepted, or did not reach the function in time."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """The rate of a burst, and what it cost the process of `tidegate up`."""

    events_per_second: float
    microseconds_of_cpu: float


class Loop:
    """A gateway with a Broker, and the function behind its Trigger."""

    def __init__(self, gateway: str, pid: int, client: aiohttp.ClientSession) -> None:
        found = urlsplit(gateway)
        self._port = found.port or 80
        self._function = f"http://loadtest.localhost:{self._port}/"
        self._pid = pid
        self._client = client
        self._numbers = itertools.count()

    async def wait_until_ready(self) -> None:
        """Send events until one reaches the function. Raises NotDelivered."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(NotDelivered):  # the Broker is not ready
                async with self._connected() as connection:
                    await self._send(*connection)
            await asyncio.sleep(0.2)
            if await self._durations():
                return
        raise NotDelivered(f"no event has reached the function within {_READY_SECONDS:g} s.")

    async def latencies(self, events: int, per_second: float) -> list[float]:
        """Send events one by one and return the milliseconds that each took."""
        async with self._connected() as connection:
            for _ in range(events):
                await self._send(*connection)
                await asyncio.sleep(1 / per_second)
        return await self._received(events)

    async def throughput(self, events: int, connections: int) -> Throughput:
        """Send events by many connections at once, each as fast as it is answered."""
        numbers = iter(range(events))
        cpu, began = cpu_seconds(self._pid), time.monotonic()

        async def send_some() -> None:
            async with self._connected() as connection:
                for _ in numbers:
                    await self._send(*connection)

        await asyncio.gather(*[send_some() for _ in range(connections)])
        await self._received(events)
        return Throughput(events / (time.monotonic() - began), (cpu_seconds(self._pid) - cpu) / events * 1e6)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send an event over a raw connection: a client library would take the processor from what is measured."""
        body = b'{"sent":%d}' % time.monotonic_ns()
        writer.write(
            b"POST /default/loadtest HTTP/1.1\r\nHost: broker-ingress.localhost:%d\r\nContent-Type: application/json\r\n"
            b"Ce-Specversion: 1.0\r\nCe-Id: %d\r\nCe-Source: /loadtest\r\nCe-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (self._port, next(self._numbers), _TYPE.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise NotDelivered(f"the Broker answered {head.splitlines()[0].decode()}.")

    async def _received(self, events: int) -> list[float]:
        found: list[float] = []
        deadline = time.monotonic() + _READY_SECONDS
        while len(found) < events:
            if time.monotonic() > deadline:
                raise NotDelivered(f"the function has received {len(found)} of {events} events.")
            found += await self._durations()
            await asyncio.sleep(0.01)
        return found

    async def _durations(self) -> list[float]:
        async with self._client.get(self._function) as answer:
            return list(await answer.json(content_type=None)) if answer.status == 200 else []


async def _measure(gateway: str, pid: int, options: argparse.Namespace) -> None:
    async with http_client.session(timeout_seconds=30) as client:
        loop = Loop(gateway, pid, client)
        await loop.wait_until_ready()
        await loop.throughput(options.events // 4, options.connections)  # warm
        latencies = sorted(await loop.latencies(options.single, options.rate))
        shown = ", ".join(f"p{100 * share:.0f} {quantile(latencies, share):.2f} ms" for share in (0.5, 0.9, 0.99))
        print(f"latency at {options.rate:g} events/s, {len(latencies)} events: {shown}")
        for _ in range(options.runs):
            found = await loop.throughput(options.events, options.connections)
            cost = f"{found.microseconds_of_cpu:.0f} us of the gateway's processor time each"
            print(f"throughput with {options.connections} senders: {found.events_per_second:.0f} events/s, {cost}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.eventing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=8000, help="events of a run (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="senders at once (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs for the throughput (default: %(default)s)")
    parser.add_argument("--single", type=int, default=200, help="events for the latency (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="their number per second (default: %(default)s)")
    parser.add_argument("--order", choices=["ordered", "unordered"], default="unordered", help="of the Trigger (default: %(default)s)")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="Kafka; by default one is embedded")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="tidegate-loadtest-") as name:
            folder = Path(name)
            manifests = folder / "manifests.yaml"
            command = json.dumps([sys.executable, "-m", "loadtest.eventing_function"])
            manifests.write_text(_MANIFESTS.format(type=_TYPE, order=options.order, command=command))
            with local_gateway(folder / "state", manifests, bootstrap_servers=options.bootstrap_servers) as gateway:
                pid = json.loads((folder / "state" / "up.json").read_text())["pid"]
                asyncio.run(_measure(gateway, pid, options))
    except TidegateError as error:
        print(f"eventing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
