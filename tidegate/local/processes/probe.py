"""Readiness probes of replicas."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tidegate.local.objects.podspec import Probe

# Knative's queue-proxy probes every 50 ms. A refused connection costs little, so a shorter period makes cold starts
# faster here.
_PERIOD_SECONDS = 0.01
_ACCEPT_SECONDS = 1.0
_USER_AGENT = "kube-probe/1.34 (tidegate up)"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The readiness check of a replica: an HTTP request, or without a `path` a connection to the port.

    Times are in seconds.
    """

    port: int
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0.0
    timeout: float = 1.0


def readiness_of(probe: Probe | None, port: int) -> Readiness:
    """The readiness check of a manifest's probe on the port of the replica, which replaces that of the manifest."""
    if probe is None or probe.http_get is None:
        return Readiness(port)
    return Readiness(
        port,
        path=probe.http_get.path,
        headers=tuple((header.name, header.value) for header in probe.http_get.http_headers),
        initial_delay=probe.initial_delay_seconds,
        timeout=probe.timeout_seconds or 1.0,
    )


async def wait_until_ready(readiness: Readiness) -> None:
    """Probe until the replica is ready. The caller sets the time limit."""
    await asyncio.sleep(readiness.initial_delay)
    while not await is_ready(readiness):  # noqa: ASYNC110 a process sends no event when it is ready
        await asyncio.sleep(_PERIOD_SECONDS)


async def is_ready(readiness: Readiness) -> bool:
    """Probe once."""
    try:
        async with asyncio.timeout(readiness.timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", readiness.port)
            try:
                return readiness.path is None or await _get(reader, writer, readiness)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # a line without end is a ValueError
        return False


async def is_refused(port: int) -> bool:
    """Whether connections to a port are refused. One that is not accepted in time, by a busy process, is not."""
    try:
        async with asyncio.timeout(_ACCEPT_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, readiness: Readiness) -> bool:
    headers = {"Host": f"127.0.0.1:{readiness.port}", "User-Agent": _USER_AGENT, "Connection": "close", **dict(readiness.headers)}
    lines = [f"GET {readiness.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    status = (await reader.readline()).split()
    # As for the kubelet, any status from 200 to 399 is ready.
    return len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400
