"""The process of the rollout function, with the Kubernetes API of `tidegate up` and a sink."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from eventing.codecs import http
from functions.rollout.cluster import Cluster
from functions.rollout.service import begin, move, rollout_of
from functions.rollout.state import Phase
from functions.runtime.knative.client import Access
from tests.functions.rollout.examples import CANARY, STABLE, a_policy, an_outcome
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.store import Store

TOKEN = "secret"  # noqa: S105 of the test
SERVICE: dict[str, Any] = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "flights"},
    "spec": {"template": {"spec": {"containers": [{"image": "flights"}]}}, "traffic": [{"revisionName": STABLE, "percent": 100}]},
}
STARTED = 1_000.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Access]:
    """An API with a Service in a rollout."""
    (tmp_path / "token").write_text(TOKEN)
    async with TestServer(application(Store(), TOKEN, lambda resource, item: item)) as server, aiohttp.ClientSession() as session:
        url = f"{server.make_url('')}".rstrip("/")
        services = f"{url}/apis/serving.knative.dev/v1/namespaces/default/services"
        async with session.post(services, json=SERVICE, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            service = await answer.json()
        access = Access(url, "default", token_file=tmp_path / "token")
        state = begin(service, a_policy(), STARTED, stable=STABLE, canary=CANARY)
        await asyncio.to_thread(Cluster(access).patch, "flights", move(service, state))
        yield access


async def test_an_outcome_becomes_a_decision_in_the_cluster_and_an_event(api: Access) -> None:
    received: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await received.put(request.headers["ce-type"])
        return web.Response(status=202)

    sink = web.Application()
    sink.router.add_post("/", take)
    async with TestServer(sink) as server, aiohttp.ClientSession() as session:
        environ = {
            "TIDEGATE_KUBERNETES_API": api.url,
            "TIDEGATE_KUBERNETES_TOKEN_FILE": str(api.token),
            "K_SINK": str(server.make_url("/")),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "functions.rollout"),
            env={**os.environ, **environ, "PORT": "0", "TIDEGATE_HOST": "127.0.0.1"},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        found = re.search(rb"on port (\d+)", await process.stderr.readline())
        assert found is not None
        address = f"http://127.0.0.1:{int(found[1])}/"
        outcome = an_outcome(percent=5, rollout=f"{CANARY}-1000", canary=list(range(0, 2**32, 2**26)))
        message = http.encode([outcome.to_event()], http.Mode.BINARY)
        async with session.post(address, data=message.body, headers=message.headers) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        assert await received.get() == "dev.tidegate.rollout.rolledback"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    service = await asyncio.to_thread(Cluster(api).get, "flights")
    assert service is not None
    assert [entry["revisionName"] for entry in service["spec"]["traffic"]] == [STABLE]
    state = rollout_of(service)
    assert state is not None
    assert state.phase is Phase.ROLLED_BACK


async def test_a_process_without_an_api_says_so() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KUBERNETES_", "TIDEGATE_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "functions.rollout", env={**environ, "PORT": "0"}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert b"tidegate: no Kubernetes API is configured" in errors
