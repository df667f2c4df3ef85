from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from cryptography import x509

from common.errors import InvalidSetting
from functions.runtime.knative import client as clients
from functions.runtime.knative.client import Access, ApiError, Client
from tests.fixtures.tls import certificate

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
Script = list[Any]


def service(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "spec": {}}


def event(kind: str, item: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "object": item}) + b"\n"


def listing(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


class Api:
    """An API that plays a script.

    An object answers a list, a list of chunks a watch, a number is an error, bytes are any answer.
    """

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
            answer.enable_compression()  # as the API does with a long list, for clients that accept it
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

        async def start(handler: Callable[[web.Request], Any], tls: ssl.SSLContext | None = None, account: Path | None = None) -> Client:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            access = Access(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}", "default", account)
            return await stack.enter_async_context(Client(access, first_delay=0.001))

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


async def test_a_line_may_arrive_in_pieces_and_be_long(client: Any) -> None:
    large = service("a", 2) | {"spec": {"text": "x" * 500_000}}
    line = event("ADDED", large)
    api = Api([listing(1), [line[:10], line[10:300_000], line[300_000:] + event("DELETED", service("a", 3))]])
    assert await views(await client(api.answer), 3) == [{}, {"a": "2"}, {}]


@pytest.mark.parametrize("gone", [410, [event("ERROR", {"kind": "Status", "code": 410, "message": "too old"})]])
async def test_a_resource_version_that_is_too_old_is_listed_again(gone: Any, client: Any) -> None:
    api = Api([listing(1, service("a", 1)), gone, listing(7, service("b", 6)), [event("ADDED", service("c", 8))]])
    assert await views(await client(api.answer), 3) == [{"a": "1"}, {"b": "6"}, {"b": "6", "c": "8"}]
    assert api.seen == ["list", "watch 1", "list", "watch 7"]


async def test_a_watch_survives_failures(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    api = Api([500, listing(1), 503, listing(2), [b"no json\n"], listing(3), [], [event("ADDED", service("a", 4))]])
    assert await views(await client(api.answer), 4) == [{}, {}, {}, {"a": "4"}]
    assert api.seen == ["list", "list", "watch 1", "list", "watch 2", "list", "watch 3", "watch 3"]
    assert "the Kubernetes API responded 500: on purpose; retrying" in caplog.messages


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
async def test_a_malformed_list_does_not_end_a_watch(answer: bytes, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    api = Api([answer, listing(1, service("a", 1))])
    assert await views(await client(api.answer), 1) == [{"a": "1"}]
    assert "unexpected response from the Kubernetes API" in caplog.text


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"type":"ADDED","object":{}}', b'{"type":"ADDED","object":{"metadata":[]}}'])
async def test_a_malformed_change_does_not_end_a_watch(line: bytes, client: Any) -> None:
    api = Api([listing(1), [line + b"\n"], listing(2, service("a", 2))])
    assert await views(await client(api.answer), 2) == [{}, {"a": "2"}]


class _OnWarning(logging.Handler):
    """A handler that repairs the cause once the failure has been logged."""

    def __init__(self, repair: Callable[[], object]) -> None:
        super().__init__()
        self._repair = repair

    def emit(self, record: logging.LogRecord) -> None:
        self._repair()


async def test_an_unreadable_token_does_not_end_a_watch(client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = await client(Api([listing(1, service("a", 1))]).answer)
    handler = _OnWarning(lambda: (tmp_path / "token").write_text("one"))
    logging.getLogger("tidegate.knative").addHandler(handler)
    try:
        async with Client(Access(plain._access.url, "default", tmp_path), first_delay=0.001) as knative:
            assert await views(knative, 1) == [{"a": "1"}]
    finally:
        logging.getLogger("tidegate.knative").removeHandler(handler)
    assert f"cannot read the token of the Kubernetes API, {tmp_path}" in caplog.text


async def test_an_error_of_the_api_is_a_sentence(client: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "services is forbidden."}, status=403)

    with pytest.raises(ApiError, match="responded 403: services is forbidden\\."):
        await (await client(answer)).list("services")
    async with Client(Access("http://user:secret@127.0.0.1:1", "default")) as knative:
        with pytest.raises(ApiError, match=r"127\.0\.0\.1:1 is unreachable: 127\.0\.0\.1: ") as caught:
            await knative.list("services")
    assert "secret" not in str(caught.value)


async def test_the_token_is_read_each_time(client: Any, tmp_path: Path) -> None:
    tokens: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        tokens.append(request.headers["Authorization"])
        return web.json_response(listing(1))

    plain = await client(answer)
    async with Client(Access(plain._access.url, "default", tmp_path)) as knative:
        for token in ("one", "two"):
            (tmp_path / "token").write_text(f"{token}\n")
            await knative.list("services")
    assert tokens == ["Bearer one", "Bearer two"]


async def test_a_token_with_a_line_break_is_an_error(client: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\r\nImpersonate-User: admin\n")
    knative = await client(Api([listing(1)]).answer, account=tmp_path)
    with pytest.raises(ApiError, match=r"token .*has several lines .*; check TIDEGATE_KUBERNETES_TOKEN_FILE") as caught:
        await knative.list("services", "a=b")
    assert "admin" not in str(caught.value)


async def test_credentials_of_the_url_are_sent_unless_there_is_a_token(client: Any, tmp_path: Path) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.json_response(listing(1))

    url = (await client(answer))._access.url.replace("://", "://user:s%2Fcret@")
    (tmp_path / "token").write_text("one")
    for file in (None, tmp_path / "token"):
        async with Client(Access(url, "default", token_file=file)) as knative:
            await knative.list("services")
    assert seen == ["Basic dXNlcjpzL2NyZXQ=", "Bearer one"]


async def test_the_cluster_is_verified_with_the_certificate_of_the_account(client: Any, tmp_path: Path) -> None:
    private, public = certificate(x509.IPAddress(ip_address("127.0.0.1")))
    (tmp_path / "server.pem").write_bytes(private + public)
    (tmp_path / "token").write_text("one")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    api = Api([listing(1, service("a", 1)), [event("ADDED", service("b", 2))]])
    knative = await client(api.answer, tls, tmp_path)
    with pytest.raises(ApiError, match=r"cannot read the certificate .*ca\.crt: .*; check the service account"):
        await knative.list("services", "a=b")
    (tmp_path / "ca.crt").write_bytes(certificate(x509.IPAddress(ip_address("127.0.0.1")))[1])
    async with Client(knative._access) as other:
        with pytest.raises(ApiError, match=r"https://127.* is unreachable: TLS: CERTIFICATE_VERIFY_FAILED"):
            await other.list("services", "a=b")
    (tmp_path / "ca.crt").write_bytes(public)
    assert await views(knative, 2) == [{"a": "1"}, {"a": "1", "b": "2"}]


async def test_a_silent_watch_is_given_up(client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(clients, "_SILENT_SECONDS", 0.05)
    hangs = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await hangs.wait()
        return web.json_response(listing(1))

    assert await views(await client(answer), 2) == [{}, {}]
    hangs.set()
    assert "is unreachable: TimeoutError; retrying" in caplog.text


def test_access_is_read_from_the_environment(tmp_path: Path) -> None:
    assert Access.from_env({"TIDEGATE_KUBERNETES_API": "http://127.0.0.1:9/"}) == Access("http://127.0.0.1:9", "default")
    cluster = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    (tmp_path / "namespace").write_text("models\n")
    assert Access.from_env(cluster, tmp_path) == Access("https://10.0.0.1:6443", "models", tmp_path)
    assert Access.from_env({**cluster, "KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path).url == "https://[fd00::1]:6443"
    assert Access.from_env({**cluster, "TIDEGATE_NAMESPACE": "own"}, tmp_path).namespace == "own"
    with pytest.raises(InvalidSetting, match="TIDEGATE_KUBERNETES_API is 'localhost:8001'; set an http or https URL"):
        Access.from_env({"TIDEGATE_KUBERNETES_API": "localhost:8001"})
    with pytest.raises(ApiError, match="set TIDEGATE_KUBERNETES_API"):
        Access.from_env({})
