"""Router, two revisions and the rollout function, connected by a Broker in `tidegate up`: evidence moves the traffic."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from common import http_client
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from eventing.label import Label
from tidegate.cli import run
from tidegate.local.up import Up, UpSettings, up

Object = dict[str, Any]
Call = Callable[..., Awaitable[tuple[int, str]]]
ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
POLICY = "{steps: [50, 100], minimumKeys: 20, minimumDuration: 0, alpha: 0.05, beta: 0.2, maximumErrors: 0.4, deadline: 1h}"
# A model with a score for each request; one called `broken` fails, and one called `wrong` gives the opposite score.
MODEL = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        broken = os.environ["VERSION"] == "broken" and self.command == "POST"
        output = {"name": "y", "datatype": "FP64", "shape": [1], "data": [0.1 if os.environ["VERSION"] == "wrong" else 0.9]}
        answer = {"model_name": "flights", "id": json.loads(body or "{}").get("id"), "outputs": [output]}
        data = json.dumps({"error": "broken"} if broken else answer).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_POST = do_GET
    def log_message(self, *args): pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def of_files(*paths: str) -> Iterator[Object]:
    for path in paths:
        yield from yaml.safe_load_all((MANIFESTS / path).read_text())


def manifests() -> list[Object]:
    """What the components deploy, on a Broker without a dead letter sink."""
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "tidegate"}, "spec": {}}
    parts = [f"components/rollout/{name}.yaml" for name in ("serviceaccount", "role", "service", "trigger", "pingsource", "sinkbinding")]
    parts += [f"base/router/{name}.yaml" for name in ("serviceaccount", "role", "service")]
    objects = [broker, *of_files(*parts, "components/router-outcomes/sinkbinding.yaml")]
    for item in objects:
        if item["metadata"]["name"] == "rollout" and item["kind"] == "Service":
            item["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "TIDEGATE_GATHER_SECONDS", "value": "0.1"}]
    return objects


def model(version: str, traffic: list[Object] | None = None) -> Object:
    container = {
        "image": "flights",
        "command": ["python", "model.py"],
        "env": [{"name": "VERSION", "value": version}],
        "readinessProbe": {"httpGet": {"path": "/ready"}},
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "flights", "labels": {"app.kubernetes.io/component": "model-function"}},
        "spec": {"template": {"spec": {"containers": [container]}}, **({"traffic": traffic} if traffic else {})},
    }


class Decisions:
    """A subscriber of decisions."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        (event,) = http.decode(Message(headers, await request.read()), Mode.BINARY)
        async with self._news:
            self.events.append(event)
            self._news.notify_all()
        return web.Response(status=204)

    async def types(self, count: int) -> list[str]:
        """The types of the first decisions, as soon as there are so many."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(self.events) >= count)
        return [event.type.removeprefix("dev.tidegate.rollout.") for event in self.events]


@asynccontextmanager
async def traffic(here: Up, *, labelled: bool = False) -> AsyncIterator[None]:
    """Requests with many keys, through the router, until the context ends. No caller sees a failure.

    If they are `labelled`, the Broker gets what happened after each: what the score 0.9 is right about.
    """
    port = here.running.gateway.rpartition(":")[2]
    address, broker = f"http://router.localhost:{port}/v2/models/flights/infer", f"http://broker-ingress.localhost:{port}/default/tidegate"
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
    keys = itertools.count()

    async def call(client: aiohttp.ClientSession) -> None:
        while True:
            name = f"key-{next(keys)}"
            async with client.post(address, json={"id": name, **body}, headers={"Tidegate-Routing-Key": name}) as answer:
                assert answer.status == 200, await answer.text()
            if labelled:
                message = http.encode([Label(model="flights", value=True, prediction=name).to_event()], Mode.BINARY)
                async with client.post(broker, data=message.body, headers=dict(message.headers)) as answer:
                    assert answer.status == 202, await answer.text()
            await asyncio.sleep(0.02)  # two cores are shared with the processes

    async with http_client.session(timeout_seconds=60) as client, asyncio.TaskGroup() as group:
        callers = [group.create_task(call(client)) for _ in range(2)]
        yield
        for caller in callers:
            caller.cancel()


@pytest.fixture
async def decided() -> AsyncIterator[tuple[Decisions, str]]:
    found, app = Decisions(), web.Application()
    app.router.add_post("/", found.handle)
    async with TestServer(app) as server:
        yield found, str(server.make_url("/"))


@pytest.fixture
def tidegate_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `tidegate` with the state folder of this test: its exit status and its output."""

    async def call(*arguments: str) -> tuple[int, str]:
        async with asyncio.timeout(120):
            status = await asyncio.to_thread(run, [*arguments, "--state-dir", str(tmp_path / "state")])
        return status, "".join(capsys.readouterr())

    return call


@pytest.fixture
def running(tmp_path: Path, decided: tuple[Decisions, str]) -> AbstractAsyncContextManager[Up]:
    (tmp_path / "model.py").write_text(MODEL)
    trigger = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": "decisions"},
        "spec": {"broker": "tidegate", "filters": [{"prefix": {"type": "dev.tidegate.rollout."}}], "subscriber": {"uri": decided[1]}},
    }
    objects = [*manifests(), model("1"), trigger]
    return up(UpSettings(manifests=objects, port=0, state_dir=tmp_path / "state", project_root=tmp_path))


async def test_good_canary_is_promoted_and_a_broken_or_wrong_one_rolled_back(
    running: AbstractAsyncContextManager[Up], decided: tuple[Decisions, str], tidegate_here: Call, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    async with running as here:
        status, text = await tidegate_here("rollout", "start", "flights")
        assert (status, "no revision that is newer than flights-00001" in text) == (1, True), text
        pinned = [{"revisionName": "flights-00001", "percent": 100, "tag": "stable"}]
        here.apply(model("2", pinned))
        async with traffic(here):
            status, text = await tidegate_here("rollout", "start", "flights", "--policy", str(policy), "--wait", "--json")
        assert status == 0, text
        last = json.loads(text.splitlines()[-1])
        assert (last["phase"], last["arms"][1]["revision"], last["arms"][1]["errors"]) == ("promoted", "flights-00002", 0)
        assert last["decisions"][-1]["eValue"] >= last["decisions"][-1]["threshold"]

        service = here.controller.store.get("services", "flights")
        here.apply({**model("broken"), "spec": {**model("broken")["spec"], "traffic": service["spec"]["traffic"]}})
        async with traffic(here):
            status, text = await tidegate_here("rollout", "start", "flights", "--wait")
        assert status == 3, text
        assert "flights-00003 is rolled back" in text
        traffic_now = here.controller.store.get("services", "flights")["spec"]["traffic"]
        assert [(target["revisionName"], target["percent"]) for target in traffic_now] == [("flights-00002", 100)]

        here.apply({**model("wrong"), "spec": {**model("wrong")["spec"], "traffic": traffic_now}})
        labels = tmp_path / "labels.yaml"
        labels.write_text("{steps: [50], minimumDuration: 0, alpha: 0.05, deadline: 1h}")
        async with traffic(here, labelled=True):
            status, text = await tidegate_here("rollout", "start", "flights", "--policy", str(labels), "--wait")
        assert status == 3, text
        assert "flights-00004 is rolled back: its predictions come true less often" in " ".join(text.split())

        assert sorted(await decided[0].types(6)) == ["promoted", "rolledback", "rolledback", "started", "started", "started"]
        reasons = [event["reason"] for event in here.controller.store.list("events")]
        assert sorted(reasons) == ["RolloutPromoted", *["RolloutRolledBack"] * 2, *["RolloutStarted"] * 3]
        status, text = await tidegate_here("rollout", "history", "flights")
        assert (status, "flights-00004 is rolled back" in " ".join(text.split())) == (0, True), text
