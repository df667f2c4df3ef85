from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from common.http_client import session
from functions.runtime.knative.client import Access, ApiError, Client

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
Script = list[Any]
# Anybody's: the calls of these tests are plain HTTP, but a cluster's certificate is loaded at once.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUA7WA3kjsHLq3ztOjZFvvWO8uqekwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMjMwNjE1NDJaFw0zNjExMjAwNjE1NDJa
MA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQdoLds
5cAKXaTxjltBIjlpGbDDhq/m3HsimnV7heUXX/Dnb7xxD3ccdUQCtJX84xf9CVtI
k1tXsrIpW2wlRH5do1MwUTAdBgNVHQ4EFgQUb8LfRuxf0YdygTYnl4PCls/mJg4w
HwYDVR0jBBgwFoAUb8LfRuxf0YdygTYnl4PCls/mJg4wDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiEAr8LPMmql9DCmAzyj8/HXsT2nQ40F+NZQc/ob
iSjITcECIA6LvHq24mfTI3lBXIXY42vK21vGUULR3pNX1XAwDs4g
-----END CERTIFICATE-----
"""


def service(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "spec": {}}


def event(kind: str, item: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "object": item}) + b"\n"


def listing(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


class Api:
    """Plays a script: an object is the answer to a list, a list of chunks to a watch, a number an error, bytes any answer."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == SERVICES
        query = request.query
        self.seen.append(f"watch {query['resourceVersion']}" if "watch" in query else "list")
        assert query["labelSelector"] == "a=b"
        step = self.script.pop(0) if self.script else []
        if isinstance(step, int):
            return web.json_response({"kind": "Status", "code": step, "message": "on purpose"}, status=step)
        if isinstance(step, bytes):
            return web.Response(body=step)
        if isinstance(step, dict):
            answer = web.json_response(step)
            answer.enable_compression()  # as the API does with a long list, for whoever accepts it
            return answer
        return await self._stream(request, step)

    async def _stream(self, request: web.Request, chunks: list[bytes]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if not self.script:
            await asyncio.Event().wait()
        return response


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(handler: Callable[[web.Request], Any]) -> Client:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            opened = await stack.enter_async_context(session(timeout_seconds=10))
            return Client(Access(f"http://127.0.0.1:{runner.addresses[0][1]}", "default"), opened, first_delay=0.001)

        yield start


async def views(client: Client, count: int) -> list[dict[str, str]]:
    """The first views of a watch, as name -> version."""
    found: list[dict[str, str]] = []
    async with aclosing(client.watch("services", "a=b")) as watching:
        async for view in watching:
            found.append({name: item["metadata"]["resourceVersion"] for name, item in view.items()})
            if len(found) == count:
                break
    return found


async def test_a_watch_shows_each_change(client: Any) -> None:
    changes = [event("ADDED", service("b", 2)), event("MODIFIED", service("a", 3)), event("BOOKMARK", service("x", 9))]
    api = Api([listing(1, service("a", 1)), changes, [event("DELETED", service("b", 10))]])
    assert await views(await client(api.answer), 4) == [{"a": "1"}, {"a": "1", "b": "2"}, {"a": "3", "b": "2"}, {"a": "3"}]
    assert api.seen == ["list", "watch 1", "watch 9"]


async def test_lines_may_come_in_pieces_and_be_long(client: Any) -> None:
    large = service("a", 2) | {"spec": {"text": "x" * 500_000}}
    line = event("ADDED", large)
    api = Api([listing(1), [line[:10], line[10:300_000], line[300_000:] + event("DELETED", service("a", 3))]])
    assert await views(await client(api.answer), 3) == [{}, {"a": "2"}, {}]


@pytest.mark.parametrize("gone", [410, [event("ERROR", {"kind": "Status", "code": 410, "message": "too old"})]])
async def test_what_is_too_old_is_listed_again(gone: Any, client: Any) -> None:
    api = Api([listing(1, service("a", 1)), gone, listing(7, service("b", 6)), [event("ADDED", service("c", 8))]])
    assert await views(await client(api.answer), 3) == [{"a": "1"}, {"b": "6"}, {"b": "6", "c": "8"}]
    assert api.seen == ["list", "watch 1", "list", "watch 7"]


async def test_a_watch_survives_failures(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    api = Api([500, listing(1), 503, listing(2), [b"no json\n"], listing(3), [], [event("ADDED", service("a", 4))]])
    assert await views(await client(api.answer), 4) == [{}, {}, {}, {"a": "4"}]
    assert api.seen == ["list", "list", "watch 1", "list", "watch 2", "list", "watch 3", "watch 3"]
    assert "the Kubernetes API answered 500: on purpose; trying again" in caplog.messages


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>maintenance</html>",
        b"[]",
        b"null",
        b'{"kind":"Status"}',
        b'{"metadata":{"resourceVersion":"1"},"items":null}',
        b'{"metadata":{"resourceVersion":"1"},"items":[{}]}',
    ],
)
async def test_an_answer_that_is_none_does_not_end_a_watch(answer: bytes, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    api = Api([answer, listing(1, service("a", 1))])
    assert await views(await client(api.answer), 1) == [{"a": "1"}]
    assert "answered what is none of its objects" in caplog.text


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"type":"ADDED","object":{}}', b'{"type":"ADDED","object":{"metadata":[]}}'])
async def test_a_change_that_is_none_does_not_end_a_watch(line: bytes, client: Any) -> None:
    api = Api([listing(1), [line + b"\n"], listing(2, service("a", 2))])
    assert await views(await client(api.answer), 2) == [{}, {"a": "2"}]


class _OnWarning(logging.Handler):
    """Mends, when the failure has been told."""

    def __init__(self, mend: Callable[[], object]) -> None:
        super().__init__()
        self._mend = mend

    def emit(self, record: logging.LogRecord) -> None:
        self._mend()


async def test_a_token_that_cannot_be_read_does_not_end_a_watch(client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = await client(Api([listing(1, service("a", 1))]).answer)
    (tmp_path / "ca.crt").write_text(CERTIFICATE)
    handler = _OnWarning(lambda: (tmp_path / "token").write_text("one"))
    logging.getLogger("tidegate.knative").addHandler(handler)
    try:
        async with session(timeout_seconds=10) as opened:
            access = Access(plain._access.url, "default", tmp_path)
            assert await views(Client(access, opened, first_delay=0.001), 1) == [{"a": "1"}]
    finally:
        logging.getLogger("tidegate.knative").removeHandler(handler)
    assert f"cannot read the token of the Kubernetes API, {tmp_path}" in caplog.text


async def test_a_refusal_is_told(client: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "services is forbidden."}, status=403)

    with pytest.raises(ApiError, match="answered 403: services is forbidden\\."):
        await (await client(answer)).list("services")
    async with session(timeout_seconds=1) as opened:
        with pytest.raises(ApiError, match="127\\.0\\.0\\.1:1 does not answer"):
            await Client(Access("http://127.0.0.1:1", "default"), opened).list("services")


async def test_the_token_is_read_each_time(client: Any, tmp_path: Path) -> None:
    tokens: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        tokens.append(request.headers["Authorization"])
        return web.json_response(listing(1))

    plain = await client(answer)
    (tmp_path / "ca.crt").write_text(CERTIFICATE)
    async with aiohttp.ClientSession() as opened:
        knative = Client(Access(plain._access.url, "default", tmp_path), opened)
        for token in ("one", "two"):
            (tmp_path / "token").write_text(f"{token}\n")
            await knative.list("services")
    assert tokens == ["Bearer one", "Bearer two"]


def test_where_the_api_is(tmp_path: Path) -> None:
    assert Access.from_env({"TIDEGATE_KUBERNETES_API": "http://127.0.0.1:9/"}) == Access("http://127.0.0.1:9", "default")
    cluster = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    (tmp_path / "namespace").write_text("models\n")
    assert Access.from_env(cluster, tmp_path) == Access("https://10.0.0.1:6443", "models", tmp_path)
    assert Access.from_env({**cluster, "KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).url == "https://[fd00::1]:6443"
    assert Access.from_env({**cluster, "TIDEGATE_NAMESPACE": "own"}, tmp_path).namespace == "own"
    with pytest.raises(ApiError, match="set TIDEGATE_KUBERNETES_API"):
        Access.from_env({})
