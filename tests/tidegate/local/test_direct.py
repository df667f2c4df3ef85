"""Events posted to the replicas of a service without the gateway's HTTP hop."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from eventing.codecs.http import Message
from tests.tidegate.local.calls import url
from tidegate.local.direct import DirectPost
from tidegate.local.eventing.delivery.transport import Answer, HttpPost, PostFailed
from tidegate.local.up import Up

Make = Callable[..., dict[str, Any]]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Running = Callable[..., AbstractAsyncContextManager[Up]]
EVENT = Message({"ce-id": "1", "content-type": "application/json"}, b"{}")


async def nowhere(url: str, message: Message) -> Answer:
    """A post that no test expects."""
    raise AssertionError(url)


async def test_event_starts_the_service_and_reaches_it(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service(version="7")) as here:
        post = DirectPost(here.controller, client, nowhere, 1)

        answer = await post(url(here, "/a%2Fb?c=%20d"), EVENT)

        assert answer.status == 200
        found = json.loads(answer.body)
        headers = {name.lower(): value for name, value in found["headers"].items()}
        assert (found["version"], found["method"], found["path"], found["size"]) == ("7", "POST", "/a%2Fb?c=%20d", 2)
        assert headers["host"] == url(here).split("/")[2]
        assert (headers["ce-id"], headers["content-type"]) == ("1", "application/json")
        revision = here.controller.revisions["hello-00001"]
        assert revision.latencies.count == 1
        assert here.in_flight == 0


async def test_host_of_no_service_is_left_to_http(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        post = DirectPost(here.controller, client, HttpPost(client), 1)

        answer = await post(url(here, host="other.localhost"), EVENT)

        assert answer.status == 404
        assert b"no service has the host other.localhost" in answer.body


async def test_service_that_cannot_start_answers_503(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service(command=["python", "missing.py"])) as here:
        answer = await DirectPost(here.controller, client, nowhere, 1)(url(here), EVENT)

        assert answer.status == 503
        assert b"missing.py" in answer.body


async def test_service_that_is_late_answers_504(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service(timeoutSeconds=1)) as here:
        answer = await DirectPost(here.controller, client, nowhere, 1)(url(here, "/sleep"), EVENT)

        assert answer.status == 504
        assert answer.body == b"request timeout: hello-00001 did not answer within 1 s."


async def test_replica_that_dies_fails_the_attempt_and_the_next_one_reaches_another(
    running: Running, service: Make, client: aiohttp.ClientSession, until: Until
) -> None:
    async with running(service()) as here:
        post = DirectPost(here.controller, client, nowhere, 1)
        with pytest.raises(PostFailed):
            await post(url(here, "/die"), EVENT)
        await until(lambda: here.status()["services"]["hello"]["revisions"][0]["crashes"] == 1)

        assert (await post(url(here), EVENT)).status == 200


@pytest.mark.parametrize(
    ("host", "status", "content"),
    [
        ("hello.default.svc.cluster.local", 200, b'"path": "/default/b"'),
        ("kafka-broker-ingress.knative-eventing.svc.cluster.local", 404, b"no Broker has the path /default/b"),
        ("missing.default.svc.cluster.local", 404, b"no service has the host missing.localhost"),
    ],
    ids=["service", "ingress", "unknown"],
)
async def test_name_of_a_cluster_is_that_of_the_gateway(
    running: Running, service: Make, client: aiohttp.ClientSession, host: str, status: int, content: bytes
) -> None:
    async with running(service()) as here:
        post = DirectPost(here.controller, client, HttpPost(client), int(url(here).rpartition(":")[2].rstrip("/")))

        answer = await post(f"http://{host}/default/b", EVENT)

        assert (answer.status, content in answer.body) == (status, True)
