from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from common.http_client import session
from functions.router.__main__ import main
from tests.functions.router.flights import INFER, service

if TYPE_CHECKING:
    import pytest

    from tests.functions.router.conftest import StartProcess, StartServer


async def test_requests_in_flight_finish_after_sigterm(start_server: StartServer, start_process: StartProcess) -> None:
    arrived, terminated = asyncio.Event(), asyncio.Event()

    async def revision(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await terminated.wait()
        return web.json_response({"host": request.host})

    port = await start_server(revision)

    status = {"url": f"http://flights.localhost:{port}", "traffic": [{"revisionName": "flights-00001", "percent": 100}]}
    item = {"metadata": {"name": "flights"}, "spec": {}, "status": status}
    process, router_port = await start_process(item)
    async with session(timeout_seconds=30) as client:
        url = f"http://127.0.0.1:{router_port}/v2/models/flights/infer"
        asking = asyncio.create_task(_ask(client, url))
        await arrived.wait()
        process.send_signal(signal.SIGTERM)
        terminated.set()
        assert await asking == {"host": f"flights.localhost:{port}"}
    log = (await process.communicate())[1].decode()
    assert process.returncode == 0
    assert "model flights: 100% flights-00001" in log
    assert "Traceback" not in log


async def _ask(client: aiohttp.ClientSession, url: str) -> object:
    async with client.post(url, data=b"{}") as answer:
        return await answer.json()


def test_without_an_api_the_error_has_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"PORT": "0"}) == 1
    assert "set TIDEGATE_KUBERNETES_API" in capsys.readouterr().err


async def test_it_imports_only_packages_of_its_image() -> None:
    """Packages of other functions would be missing in the image, or lengthen each start from zero."""
    code = "import sys, functions.router.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    loaded = set(out.decode().split())
    assert "httptools" in loaded
    assert not loaded & {"aiohttp", "yaml", "fastapi", "starlette", "pydantic", "prometheus_client", "numpy", "kubernetes", "simdjson"}


async def test_a_slow_body_is_408(start_process: StartProcess) -> None:
    _, port = await start_process(service(1, "v1"), TIDEGATE_HOST="127.0.0.1", TIDEGATE_BODY_SECONDS="0.3")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nx" % INFER.encode())
    assert b" 408 " in await reader.readline()
    assert await reader.read(), "and the connection is closed"
    writer.close()
