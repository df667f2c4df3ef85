from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from common.sockets import PortTaken
from eventing.kafka.errors import BrokerUnreachable
from tests.tidegate.local.calls import is_gone
from tidegate.commands.status import read_status
from tidegate.demo import calls
from tidegate.demo.services import KnativeServices
from tidegate.doctor.cluster.client import connect
from tidegate.documents import InvalidManifest
from tidegate.local import state
from tidegate.local.errors import AlreadyRunning, UnusableFolder
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Make = Callable[..., Object]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]

PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from tidegate.local.up import UpSettings, run
logging.basicConfig(level=logging.INFO)
objects = json.loads(Path("objects.json").read_text())
asyncio.run(run(UpSettings(manifests=objects, port=0, state_dir=Path("state"), project_root=Path.cwd())))
"""


def deployment(*command: str) -> Object:
    container = {"name": "worker", "command": list(command)}
    template = {"metadata": {"labels": {"app": "worker"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "worker"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec}


# Without a listener, so that requests by this proxy fail.
PROXY = "http://127.0.0.1:9"


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, PROXY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def settings(root: Path, *objects: Object, **others: Any) -> UpSettings:
    return UpSettings(**{"manifests": objects, "port": 0, "state_dir": root / "state", "project_root": root, **others})


async def test_state_file_exists_while_it_runs(running: Running, service: Make, root: Path) -> None:
    async with running(service()) as here:
        assert state.read(root / "state") == here.running
        assert here.running.kafka == "embedded"
        assert here.running.kafka_api_version == [2, 3]
        assert here.running.api.removeprefix("http://") in Path(here.running.kubeconfig).read_text()  # noqa: ASYNC240 a few bytes
    assert state.read(root / "state") is None


async def test_second_run_in_a_folder_is_refused(running: Running, service: Make, root: Path) -> None:
    async with running(service()) as here:
        folder = Path(here.running.kubeconfig).parent
        with pytest.raises(AlreadyRunning, match=f"already running here .pid {os.getpid()}, {here.running.gateway}"):
            async with up(settings(root, service(), state_dir=folder)):
                raise AssertionError


async def test_used_port_is_named(service: Make, root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} of 127.0.0.1 is taken by another process; .* choose another port \(--port\)"):
            async with up(settings(root, service(), port=port)):
                raise AssertionError


async def test_unreachable_broker_is_named(service: Make, root: Path) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at 127.0.0.1:1 "):
        async with up(settings(root, service(), bootstrap_servers="127.0.0.1:1")):
            raise AssertionError


async def test_invalid_manifest_starts_nothing(service: Make, root: Path) -> None:
    with pytest.raises(InvalidManifest, match="object 2: "):
        async with up(settings(root, service(), {**service("b"), "spek": {}})):
            raise AssertionError
    assert not (root / "state").exists()


@contextmanager
def program(root: Path, *objects: Object) -> Iterator[subprocess.Popen[str]]:
    (root / "objects.json").write_text(json.dumps(objects))
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=root, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        if started.stderr:
            started.stderr.close()


async def wake(root: Path, client: aiohttp.ClientSession, until: Until) -> asyncio.Task[int]:
    """A request that is in flight until the file `go` exists. The task returns its status."""
    await until(lambda: state.read(root / "state"))
    found = state.read(root / "state")
    assert found

    async def call() -> int:
        async with client.get(f"http://hello.localhost:{found.gateway.rpartition(':')[2]}/sleep") as response:
            return response.status

    task = asyncio.create_task(call())
    await until(lambda: asleep(root))
    return task


def asleep(root: Path) -> list[int]:
    """The processes that serve a request to `/sleep`."""
    return [int(file.name.partition("-")[2]) for file in root.glob("asleep-*")]


async def test_first_signal_drains(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service(), deployment("python", "-c", "import time; time.sleep(60)")) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.send_signal(signal.SIGINT)
        await until(lambda: state.read(root / "state") is None)
        assert started.stderr is not None
        # The call is answered only now, since it would end before the shutdown waits for it.
        while "draining: waiting for 1 request" not in (line := await asyncio.to_thread(started.stderr.readline)):
            assert line, "it exited without waiting"
        (root / "go").touch()
        assert (await call) == 200
        await asyncio.to_thread(started.communicate, timeout=30)
        assert started.returncode == 0
        assert is_gone(pid)


async def test_second_signal_kills(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service()) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.send_signal(signal.SIGTERM)
        await until(lambda: state.read(root / "state") is None)
        started.send_signal(signal.SIGTERM)
        assert (await call) in (502, 503)
        await asyncio.to_thread(started.communicate, timeout=30)
        assert is_gone(pid)


async def test_sigkill_leaves_no_process(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service()) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.kill()
        with pytest.raises(aiohttp.ClientError):
            await call
        await until(lambda: is_gone(pid))
    assert state.read(root / "state") is None


@pytest.mark.parametrize(
    ("host", "gateway", "also"),
    [
        ("::1", "http://[::1]:{}", ["127.0.0.1", "[::1]"]),
        ("::", "http://127.0.0.1:{}", ["127.0.0.1", "[::1]"]),
        ("127.0.0.2", "http://127.0.0.2:{}", ["127.0.0.1", "127.0.0.2"]),
    ],
)
async def test_gateway_listens_on_its_host_and_on_loopback(
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


async def test_calls_to_this_machine_bypass_a_proxy(proxied: None, running: Running, service: Callable[..., Object]) -> None:
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


async def test_folder_that_other_users_can_write_starts_nothing(service: Make, root: Path) -> None:
    folder = root / "open"
    folder.mkdir()
    (folder / "theirs").touch()
    folder.chmod(0o777)
    with pytest.raises(UnusableFolder):
        async with up(UpSettings(manifests=[service()], port=0, state_dir=folder, project_root=root)):
            raise AssertionError
    assert [path.name for path in folder.iterdir()] == ["theirs"]
