"""The gateway at other addresses, and a machine whose environment names a proxy."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from tidegate.commands.status import read_status
from tidegate.demo import calls
from tidegate.demo.rollout import KnativeServices
from tidegate.doctor.cluster.client import connect
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Running = Callable[..., AbstractAsyncContextManager[Up]]
# Nobody listens there: what goes by this proxy fails.
PROXY = "http://127.0.0.1:9"


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, PROXY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("host", "gateway", "also"),
    [
        ("::1", "http://[::1]:{}", ["127.0.0.1", "[::1]"]),
        ("::", "http://127.0.0.1:{}", ["127.0.0.1", "[::1]"]),
        ("127.0.0.2", "http://127.0.0.2:{}", ["127.0.0.1", "127.0.0.2"]),
    ],
)
async def test_the_gateway_is_at_its_address_and_where_the_processes_call_each_other(
    host: str, gateway: str, also: list[str], service: Callable[..., Object], root: Path, client: aiohttp.ClientSession
) -> None:
    settings = UpSettings(manifests=[service()], port=0, host=host, state_dir=root / "state", project_root=root)
    async with up(settings) as here:
        port = here.running.gateway.rpartition(":")[2]
        assert here.running.gateway == gateway.format(port)
        for address in also:
            async with client.get(f"http://{address}:{port}/", headers={"Host": f"hello.localhost:{port}"}) as response:
                assert (await response.json())["revision"] == "hello-00001"
        async with client.get(f"http://hello.localhost:{port}/") as response:
            assert response.status == 200
        async with client.get(here.running.gateway) as response:
            assert response.status == (404 if host == "127.0.0.2" else 200)


async def test_no_proxy_stands_before_this_machine(proxied: None, running: Running, service: Callable[..., Object]) -> None:
    async with running(service()) as here:
        assert list((await asyncio.to_thread(read_status, here.running))["services"]) == ["hello"]
        services = KnativeServices(Path(here.running.kubeconfig))
        assert (await asyncio.to_thread(services.get, "hello"))["metadata"]["name"] == "hello"
        services.close()
        with pytest.raises(HTTPError, match="404"):  # from the gateway, which has no service of the name router
            await asyncio.to_thread(calls.open_inference, here.running.gateway, "m", {}, {}, "key")
        api, _ = await asyncio.to_thread(connect, Path(here.running.kubeconfig), None)
        assert (await asyncio.to_thread(api.call, "GET", "/version")).status == 200
        command = [sys.executable, "-m", "tidegate", "status", "--state-dir", str(Path(here.running.kubeconfig).parent)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert "hello-00001" in done.stdout, done.stderr
