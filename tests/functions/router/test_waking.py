"""A router's process that wakes the arms of a model as it starts."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

from aiohttp import web

from common.http_client import session
from tests.functions.router.flights import service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartProcess, StartServer


def _waking(item: dict[str, Any]) -> dict[str, Any]:
    item["metadata"]["annotations"] = {"tidegate.dev/wake-with-router": "true"}
    return item


async def test_the_split_is_woken_while_the_router_serves(start_server: StartServer, start_process: StartProcess) -> None:
    woken, answered = asyncio.Semaphore(0), asyncio.Event()
    seen: list[tuple[str, str]] = []

    async def revision(request: web.Request) -> web.StreamResponse:
        host = request.host.partition(".")[0]
        if request.method == "GET":
            seen.append((host, request.path))
            woken.release()
            await answered.wait()  # as a revision at zero that does not start before
            return web.Response(status=503)
        return web.json_response({"host": host})

    port = await start_server(revision)
    with socket.socket() as held:  # its port refuses connections
        held.bind(("127.0.0.1", 0))
        items = [
            _waking(service(port, ("v1", 90), ("v2", 10), ("v3", 0))),
            service(port, ("v1", 100), name="trips"),
            _waking(service(held.getsockname()[1], ("v1", 100), name="gone")),
        ]

        process, router_port = await start_process(*items)
        for _ in range(2):
            await asyncio.wait_for(woken.acquire(), 30)
        async with session(timeout_seconds=30) as client:
            for model in ("trips", "flights"):
                async with client.post(f"http://127.0.0.1:{router_port}/v2/models/{model}/infer", data=b"{}") as answer:
                    assert (await answer.json())["host"].endswith(f"-{model}")
        answered.set()
        process.send_signal(signal.SIGTERM)
        log = (await process.communicate())[1].decode()
        assert process.returncode == 0
    assert sorted(seen) == [("v1-flights", "/v2/health/ready"), ("v2-flights", "/v2/health/ready")]
    assert "waking with the router: revision gone-v1" in log
    assert "Traceback" not in log
