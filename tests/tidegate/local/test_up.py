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

import aiohttp
import pytest

from common.sockets import PortTaken
from eventing.kafka.errors import BrokerUnreachable
from tidegate.local import state
from tidegate.local.errors import AlreadyRunning, InvalidManifest
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


def binding() -> Object:
    spec = {
        "subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
        "sink": {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"}, "uri": "/models/flights"},
    }
    return {"apiVersion": "sources.knative.dev/v1", "kind": "SinkBinding", "metadata": {"name": "worker"}, "spec": spec}


def settings(root: Path, *objects: Object, **others: Any) -> UpSettings:
    return UpSettings(**{"manifests": objects, "port": 0, "state_dir": root / "state", "project_root": root, **others})


async def test_others_find_it_while_it_runs(running: Running, service: Make, root: Path) -> None:
    async with running(service()) as here:
        assert state.read(root / "state") == here.running
        assert here.running.kafka == "embedded"
        assert here.running.kafka_api_version == [2, 3]
        assert here.running.api.removeprefix("http://") in Path(here.running.kubeconfig).read_text()  # noqa: ASYNC240 a few bytes
    assert state.read(root / "state") is None


async def test_the_status_says_what_runs_and_why(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        address = f"http://hello.localhost:{here.running.gateway.rpartition(':')[2]}"
        async with client.get(address) as response:
            assert response.status == 200
        headers = {"Authorization": f"Bearer {here.running.token()}"}
        async with client.get(f"{here.running.api}/tidegate/status", headers=headers) as response:
            status = await response.json()
        revision = status["services"]["hello"]["revisions"][0]
        assert (revision["name"], revision["percent"], revision["starts"], revision["latency_ms"]["count"]) == ("hello-00001", 100, 1, 1)
        assert revision["cold_starts"][0]["first_answer_ms"] >= revision["cold_starts"][0]["ready_ms"] > 0
        assert revision["replicas"][0]["reason"] == "a request came"
        if sys.platform == "linux":
            assert 1 < status["peak_rss_mib"]["hello-00001"] < 200


async def test_a_revision_returns_to_zero(running: Running, service: Make, client: aiohttp.ClientSession, until: Until) -> None:
    async with running(service(annotations={"window": "6s"})) as here:
        async with client.get(f"http://hello.localhost:{here.running.gateway.rpartition(':')[2]}") as response:
            pid = (await response.json())["pid"]
        await until(lambda: not here.fleet.revisions["hello-00001"].pool.replicas)
        assert here.status()["services"]["hello"]["revisions"][0]["reason"] == "no request for 6 s"
        assert gone(pid)


async def test_min_scale_needs_no_request(running: Running, service: Make, until: Until) -> None:
    async with running(service(annotations={"min-scale": "1"})) as here:
        revision = here.fleet.revisions["hello-00001"]
        await until(lambda: revision.pool.ready)
        assert revision.pool.ready[0].reason == "min-scale is 1"


@pytest.mark.parametrize(("own", "known"), [([], "models"), ([{"name": "TIDEGATE_NAMESPACE", "value": "others"}], "others")])
async def test_a_process_knows_its_namespace(
    own: list[Object], known: str, running: Running, service: Make, root: Path, until: Until
) -> None:
    program = "import os, pathlib; pathlib.Path('namespace').write_text(os.environ['TIDEGATE_NAMESPACE'])"
    item = service(command=["python", "-c", program], annotations={"min-scale": "1"})
    item["metadata"]["namespace"] = "models"
    item["spec"]["template"]["spec"]["containers"][0]["env"] += own
    async with running(item):
        await until(lambda: (root / "namespace").exists() and (root / "namespace").read_text() == known)


async def test_a_deployment_runs_with_its_sink_and_is_started_again(running: Running, service: Make, root: Path, until: Until) -> None:
    script = "from pathlib import Path; import os, time; f = Path('first'); w = Path('second' if f.exists() else 'first'); "
    script += "t = Path('half'); t.write_text(os.environ['K_SINK'] + ' ' + os.environ['TIDEGATE_BOOTSTRAP_SERVERS']); t.rename(w); "
    script += "time.sleep(0 if w.name == 'first' else 60)"
    async with running(service(), deployment("python", "-c", script), binding()) as here:
        await until((root / "second").exists)
        sink, broker = (root / "second").read_text().split()
        assert sink == f"http://hello.localhost:{here.running.gateway.rpartition(':')[2]}/models/flights"
        assert broker == here.running.bootstrap_servers
        assert here.status()["deployments"]["worker"]["crashes"] == 1


async def test_two_in_one_folder_are_refused(running: Running, service: Make, root: Path) -> None:
    async with running(service()) as here:
        folder = Path(here.running.kubeconfig).parent
        with pytest.raises(AlreadyRunning, match=f"already running here .pid {os.getpid()}, {here.running.gateway}"):
            async with up(settings(root, service(), state_dir=folder)):
                raise AssertionError


async def test_a_taken_port_is_named(service: Make, root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} of 127.0.0.1 is taken by another process; .* choose another port \(--port\)"):
            async with up(settings(root, service(), port=port)):
                raise AssertionError


async def test_a_broker_that_is_not_there_is_named(service: Make, root: Path) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no Kafka broker answers at 127.0.0.1:1 "):
        async with up(settings(root, service(), bootstrap_servers="127.0.0.1:1")):
            raise AssertionError


async def test_a_broken_manifest_starts_nothing(service: Make, root: Path) -> None:
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
    """A request that is in flight until there is a file `go`; its status."""
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


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_the_first_signal_drains(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service(), deployment("python", "-c", "import time; time.sleep(60)")) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.send_signal(signal.SIGINT)
        await until(lambda: state.read(root / "state") is None)
        assert started.stderr is not None
        # Only then is the call answered: it would be over before anything waits for it.
        while "draining: waiting for 1 request" not in (line := await asyncio.to_thread(started.stderr.readline)):
            assert line, "it has ended without waiting"
        (root / "go").touch()
        assert (await call) == 200
        await asyncio.to_thread(started.communicate, timeout=30)
        assert started.returncode == 0
        assert gone(pid)


async def test_the_second_signal_kills(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service()) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.send_signal(signal.SIGTERM)
        await until(lambda: state.read(root / "state") is None)
        started.send_signal(signal.SIGTERM)
        assert (await call) in (502, 503)
        await asyncio.to_thread(started.communicate, timeout=30)
        assert gone(pid)


async def test_killed_it_leaves_nothing_behind(service: Make, root: Path, client: aiohttp.ClientSession, until: Until) -> None:
    with program(root, service()) as started:
        call = await wake(root, client, until)
        (pid,) = asleep(root)
        started.kill()
        with pytest.raises(aiohttp.ClientError):
            await call
        await until(lambda: gone(pid))
    assert state.read(root / "state") is None


def vars_of(running: state.Running) -> dict[str, Any]:
    return {name: getattr(running, name) for name in running.__dataclass_fields__}
