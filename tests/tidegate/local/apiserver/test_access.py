"""Access control of the API of `tidegate up`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"tidegate:{password}".encode()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic",
        "Basic !!",
        basic(""),
        basic("wrong"),
        "Digest x",
        "Bearer \udcff",
        "Bearer é",
    ],
)
async def test_request_without_the_token_is_unauthorized(
    wrong: str | None, running: Running, service: Make, client: aiohttp.ClientSession
) -> None:
    headers = {} if wrong is None else {"Authorization": wrong}
    async with running(service()) as here:
        for method, path in (("POST", SERVICES), ("DELETE", f"{SERVICES}/hello"), ("GET", SERVICES), ("GET", "/version"), ("GET", "/no")):
            async with client.request(method, here.running.api + path, data=json.dumps(service("evil")), headers=headers) as response:
                assert (response.status, (await response.json())["reason"]) == (401, "Unauthorized")
        async with client.get(f"{here.running.api}/tidegate/status", headers=headers) as response:
            assert response.status == 401
        assert list(here.status()["services"]) == ["hello"]


@pytest.mark.parametrize("shown", ["Bearer {}", "bearer {}", "Basic"])
async def test_request_with_the_token_is_allowed(shown: str, running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        token = here.running.token()
        headers = {"Authorization": basic(token) if shown == "Basic" else shown.format(token)}
        async with client.post(here.running.api + SERVICES, data=json.dumps(service("second")), headers=headers) as response:
            assert response.status == 201
        assert sorted(here.status()["services"]) == ["hello", "second"]


async def test_web_page_with_the_token_is_forbidden(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        token = {"Authorization": f"Bearer {here.running.token()}"}
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil.example"}):
            async with client.post(here.running.api + SERVICES, data=json.dumps(service("evil")), headers={**token, **headers}) as response:
                assert response.status == 403
        assert list(here.status()["services"]) == ["hello"]


async def test_token_is_new_for_each_run(running: Running, service: Make) -> None:
    tokens = []
    for _ in range(2):
        async with running(service()) as here:
            tokens.append(here.running.token())
    assert len(set(tokens)) == 2
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in Base64


async def test_token_reaches_processes_by_file_and_no_log_or_status(running: Running, service: Make, root: Path) -> None:
    program = "import os, pathlib; print(dict(os.environ)); pathlib.Path('file').write_text(os.environ['TIDEGATE_KUBERNETES_TOKEN_FILE'])"
    async with running(service(command=["python", "-c", program], annotations={"min-scale": "1"})) as here:
        async with asyncio.timeout(20):
            while not (root / "file").exists() or not (root / "file").read_text():  # noqa: ASYNC110 another process makes it
                await asyncio.sleep(0.01)
        token = here.running.token()
        assert Path((root / "file").read_text()).read_text() == token  # noqa: ASYNC240 a few bytes
        assert token not in json.dumps(here.status())
        texts = [path.read_text() for path in (root / "state").rglob("*") if path.is_file() and path.name not in ("kubeconfig", "token")]
    assert texts
    assert not [text for text in texts if token in text]


async def test_web_page_without_the_token_is_forbidden(running: Running, service: Make, client: aiohttp.ClientSession) -> None:
    async with running(service()) as here:
        address = f"{here.running.api}/apis/serving.knative.dev/v1/namespaces/default/services"
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:80"}):
            async with client.post(address, data=json.dumps(service("evil")), headers=headers) as response:
                assert response.status == 403
        assert list(here.status()["services"]) == ["hello"]
