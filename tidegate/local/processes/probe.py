"""Whether a replica is ready: its manifest's readiness probe, asked as often as Knative's queue-proxy does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tidegate.local.objects.podspec import Probe

# Knative asks every 50 ms. A connection that is refused costs next to nothing, so here a cold start does not wait for the next 50.
_PERIOD = 0.01
_USER_AGENT = "kube-probe/1.34 (tidegate up)"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Without a `path`, a port that accepts connections is ready. Times in seconds."""

    port: int
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0.0
    timeout: float = 1.0


def readiness(probe: Probe | None, port: int) -> Readiness:
    """The port is the replica's own, whatever number the manifest gives."""
    if probe is None or probe.http_get is None:
        return Readiness(port)
    return Readiness(
        port,
        path=probe.http_get.path,
        headers=tuple((header.name, header.value) for header in probe.http_get.http_headers),
        initial_delay=probe.initial_delay_seconds,
        timeout=probe.timeout_seconds or 1.0,
    )


async def until_ready(readiness: Readiness) -> None:
    """Returns at the first answer that says ready; it is for the caller to give up."""
    await asyncio.sleep(readiness.initial_delay)
    while not await ask(readiness):  # noqa: ASYNC110 a probe asks; nobody tells
        await asyncio.sleep(_PERIOD)


async def ask(readiness: Readiness) -> bool:
    try:
        async with asyncio.timeout(readiness.timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", readiness.port)
            try:
                return readiness.path is None or await _get(reader, writer, readiness)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # a line without end is a ValueError
        return False


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, readiness: Readiness) -> bool:
    headers = {"Host": f"127.0.0.1:{readiness.port}", "User-Agent": _USER_AGENT, "Connection": "close", **dict(readiness.headers)}
    lines = [f"GET {readiness.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    status = (await reader.readline()).split()
    # As the kubelet: any status from 200 to 399 is ready.
    return len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400
