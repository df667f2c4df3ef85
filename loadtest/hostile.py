"""`python -m loadtest.hostile`: memory and liveness of the router under hostile requests.

It starts a router (`python -m functions.router`), and a server that stands in for the Kubernetes API and two revisions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import orjson

from eventing.codecs.json import BATCH_MEDIA_TYPE
from loadtest.summary import quantile

_MIB = 2**20
_INFER = "/v2/models/flights/infer"
_EVENTS = "/models/flights"
_PAUSE_SECONDS = 0.01
_UPLOAD_SECONDS = 12
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_HEAD = "POST {} HTTP/1.1\r\nhost: router\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n"

Attack = Callable[[int], Awaitable[list[str]]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.hostile", description="Measure the cost of hostile requests for the router.")
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    port = parser.parse_args(arguments).probe
    asyncio.run(_main() if port is None else _probe(port))
    return 0


async def _main() -> None:
    print("| request | statuses | peak memory, MiB | kept, MiB | liveness: p50, ms | max, ms |\n|---|---|---|---|---|---|")
    async with _router() as (port, pid):
        for name, attack in _attacks().items():
            print(await _measured(name, attack, port, pid), flush=True)


@contextlib.asynccontextmanager
async def _router() -> AsyncIterator[tuple[int, int]]:
    """Start a router; yield its port and process id."""
    platform = await asyncio.start_server(_stand_in, "127.0.0.1", 0)
    api = platform.sockets[0].getsockname()[1]
    environ = {**os.environ, "PORT": "0", "TIDEGATE_HOST": "127.0.0.1", "TIDEGATE_KUBERNETES_API": f"http://127.0.0.1:{api}"}
    command = (sys.executable, "-m", "functions.router")
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None  # noqa: S101
    logging: asyncio.Task[bytes] | None = None
    try:
        found = re.search(rb"on port (\d+)", await process.stderr.readline())
        if found is None:
            raise OSError("the router did not start; see its log.")
        logging = asyncio.create_task(process.stderr.read())
        await _exchange(int(found[1]), b"GET /v2/models HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n", ())
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        await process.wait()
        if logging is not None:
            await logging
        platform.close()


async def _stand_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as the Kubernetes API with a list of one model, and as its revisions, which accept any body."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            left = int(length[1]) if length else 0
            while left:
                left -= len(await reader.read(min(left, _MIB)))
            if b"watch=" in head.partition(b"\r\n")[0]:
                await reader.read()
                return
            port = writer.get_extra_info("sockname")[1]
            body = _listing(port) if head.startswith(b"GET /apis/") else b'{"outputs": []}'
            writer.write(_ANSWER % (len(body), body))
            await writer.drain()
    writer.close()


def _listing(port: int) -> bytes:
    traffic = [{"revisionName": f"flights-{tag}", "tag": tag, "percent": 50} for tag in ("v1", "v2")]
    status = {"address": {"url": f"http://flights.localhost:{port}"}, "traffic": traffic}
    return orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "flights"}, "spec": {}, "status": status}]})


def _attacks() -> dict[str, Attack]:
    keys = b'{"parameters":{"routing_keys":["a"]},"inputs":'
    numbers = b",1.234567" * (_MIB // 9)
    event = b',{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"k%d","data":{"a":[1,2,3]}}'
    large = tuple(event % (index % 9) * 1_000 for index in range(63 * _MIB // (1_000 * len(event))))
    few = large[: 4 * _MIB // len(large[0])]
    rows = (
        b'{"parameters":{"routing_keys":["a"',
        b',"bcde"' * 99_999,
        b']},"inputs":[{"shape":[100000],"data":[1',
        b",1.2" * 99_999,
        b"]}]}",
    )
    return {
        "nothing": lambda _: asyncio.sleep(3, []),
        "63 MiB of JSON with routing keys": _post(_INFER, (keys, b"[{}", *[numbers] * 63, b"]}")),
        "63 MiB of JSON without": _post(_INFER, (b"[1", *[numbers] * 63, b"]")),
        "63 MiB of events": _post(_EVENTS, (b"[", large[0][1:], *large[1:], b"]"), media_type=BATCH_MEDIA_TYPE),
        "63 MiB of [": _post(_INFER, (keys, *[b"[" * _MIB] * 63)),
        "4 MiB of {}": _post(_INFER, (keys, b"[{}", b",{}" * (_MIB * 4 // 3 - 50), b"]}")),
        "4 MiB of events": _post(_EVENTS, (b"[", few[0][1:], *few[1:], b"]"), media_type=BATCH_MEDIA_TYPE),
        "20 times that at once": _post(_EVENTS, (b"[", few[0][1:], *few[1:], b"]"), media_type=BATCH_MEDIA_TYPE, times=20),
        "20 times 100,000 rows with keys": _post(_INFER, rows, times=20),
        "20 slow uploads of 60 MiB": _post(_INFER, [b"x" * (60 * _MIB // 120)] * 120, times=20, pause=_UPLOAD_SECONDS / 120),
    }


def _post(path: str, parts: Sequence[bytes], *, media_type: str = "application/json", times: int = 1, pause: float = 0) -> Attack:
    head = _HEAD.format(path, media_type, sum(map(len, parts))).encode()

    async def attack(port: int) -> list[str]:
        return list(await asyncio.gather(*(_exchange(port, head, parts, pause) for _ in range(times))))

    return attack


async def _exchange(port: int, head: bytes, parts: Sequence[bytes], pause: float = 0) -> str:
    """Send a request; return the status of the response, which may arrive early, or an empty string without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = asyncio.ensure_future(reader.readline())
    try:
        writer.write(head)
        for part in parts:
            if answered.done():
                break
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        line = await asyncio.wait_for(answered, 120)
    except (OSError, TimeoutError):
        return ""
    finally:
        answered.cancel()
        writer.close()
    return line.split()[1].decode() if line else ""


async def _measured(name: str, attack: Attack, port: int, pid: int) -> str:
    _reset_peak(pid)
    # In another process, so that the work of this one does not affect its times.
    command = (sys.executable, "-m", "loadtest.hostile", "--probe", str(port))
    probe = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert probe.stdout is not None  # noqa: S101
    await probe.stdout.readline()
    statuses = Counter(await attack(port))
    out, _ = await probe.communicate(b"")  # closes its input, which ends it
    waits: list[float] = orjson.loads(out)
    shown = ", ".join(f"{status} x {count}" for status, count in sorted(statuses.items()))
    peak, kept = _status(pid, "VmHWM"), _status(pid, "VmRSS")
    return f"| {name} | {shown} | {peak:.0f} | {kept:.0f} | {quantile(waits, 0.5):.1f} | {waits[-1]:.1f} |"


async def _probe(port: int) -> None:
    """Call liveness until standard input ends; then print the times in order, in milliseconds."""
    waits: list[float] = []
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    print(flush=True)
    while not ended.done() or not waits:
        began = time.perf_counter()
        await _exchange(port, b"GET /v2/health/live HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n", ())
        waits.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(_PAUSE_SECONDS)
    print(orjson.dumps(sorted(waits)).decode())


def _reset_peak(pid: int) -> None:
    """Reset the peak memory of a process (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> float:
    """Return a field of a process's status in MiB."""
    found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
