from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp

from common import http_client
from common.http_headers import NO_HOST
from tests.tidegate.local.calls import get_json, url
from tidegate.local.processes.probe import is_refused
from tidegate.local.processes.replica import State
from tidegate.local.up import Up

Object = dict[str, Any]
Make = Callable[..., Object]
Running = Callable[..., AbstractAsyncContextManager[Up]]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Client = aiohttp.ClientSession


async def test_request_starts_the_revision_and_is_proxied(running: Running, service: Make, client: Client) -> None:
    async with running(service(version="7")) as here:
        headers = {"traceparent": "00-1", "Connection": "close, X-Private", "X-Private": "1", "X-Forwarded-For": "10.0.0.1"}
        async with client.post(url(here, "/a%2Fb?c=%20d"), data=b"hello", headers=headers) as response:
            answer = await response.json()
        assert (answer["version"], answer["revision"], answer["method"], answer["size"]) == ("7", "hello-00001", "POST", 5)
        assert answer["path"] == "/a%2Fb?c=%20d"
        got = {name.lower(): value for name, value in answer["headers"].items()}
        assert got["traceparent"] == "00-1"
        assert got["k-proxy-request"] == "activator"
        assert got["host"].startswith("hello.localhost:")
        assert got["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
        assert "x-private" not in got


async def test_bodies_of_any_size_and_framing_are_proxied(running: Running, service: Make, client: Client) -> None:
    async with running(service()) as here:
        async with client.post(url(here), data=io.BytesIO(bytes(3 << 20)), headers={"Content-Encoding": "gzip"}) as response:
            assert (await response.json())["size"] == 3 << 20
        async with client.post(url(here), data=b"x" * 10, expect100=True) as response:
            assert (await response.json())["size"] == 10
        async with client.get(url(here, "/stream")) as response:
            assert await response.read() == b"onetwo"
        async with client.head(url(here)) as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 0
        async with client.get(url(here, "/same")) as response:
            assert response.status == 304


async def test_compressed_response_stays_compressed(running: Running, service: Make) -> None:
    async with (
        running(service()) as here,
        http_client.session(timeout_seconds=30, raw=True) as raw,
        raw.get(url(here, "/gzip")) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == b"small"


async def test_tag_and_percentage_select_the_revision(running: Running, service: Make, client: Client) -> None:
    async with running(service(version="1")) as here:
        changed = service(version="2")
        changed["spec"]["traffic"] = [
            {"revisionName": "hello-00001", "percent": 100, "tag": "v1"},
            {"revisionName": "hello-00002", "percent": 0, "tag": "v2"},
        ]
        here.apply(changed)
        # Routing by a tag in a header is off by default on clusters.
        for host, headers, version in (("hello", {}, "1"), ("v2-hello", {}, "2"), ("hello", {"Knative-Serving-Tag": "v2"}, "1")):
            async with client.get(url(here, host=f"{host}.localhost"), headers=headers) as response:
                assert (await response.json())["version"] == version


async def test_headers_of_an_ingress_are_added_and_those_of_the_caller_kept(running: Running, service: Make, client: Client) -> None:
    async with running(service()) as here:
        async with client.get(url(here)) as response:
            got = {name.lower(): value for name, value in (await response.json())["headers"].items()}
        assert got["forwarded"] == "for=127.0.0.1;proto=http"
        assert uuid.UUID(got["x-request-id"]).version == 4
        assert "x-forwarded-host" not in got
        async with client.get(url(here), headers={"Forwarded": "for=192.0.2.1", "X-Request-Id": "mine"}) as response:
            got = {name.lower(): value for name, value in (await response.json())["headers"].items()}
        assert (got["forwarded"], got["x-request-id"]) == ("for=192.0.2.1", "mine")


async def test_request_without_a_path_is_not_found(running: Running, service: Make) -> None:
    async with running(service()) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(here.running.gateway.rpartition(":")[2]))
        writer.write(b"OPTIONS * HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n")
        assert b" 404 " in await reader.readline()
        writer.close()


async def test_unknown_host_lists_the_known_ones(running: Running, service: Make, client: Client) -> None:
    async with running(service()) as here, client.get(url(here, host="helo.localhost")) as response:
        assert response.status == 404
        assert (await response.json())["error"].endswith("known hosts: hello.localhost.")
        # By this header the router distinguishes it from a 404 of the model function, and retries events.
        assert NO_HOST in response.headers


async def test_replica_that_dies_during_a_request_is_reported_and_replaced(running: Running, service: Make, client: Client) -> None:
    async with running(service()) as here:
        async with client.post(url(here, "/die")) as response:
            assert response.status == 502
            assert "hello-00001 failed during a request" in (await response.json())["error"]
        async with client.get(url(here)) as response:
            assert response.status == 200
        revision = here.status()["services"]["hello"]["revisions"][0]
        assert (revision["starts"], revision["crashes"]) == (2, 1)


# After SIGTERM it accepts no connection, and answers one more request over those that it has kept: as a server that
# closes the others in this moment. `/both` waits for another request.
ENDING = """
import os, signal, socket, threading
both, ending = threading.Barrier(2), []
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))

def end(*_):
    if ending:
        os._exit(0)
    ending.append("a request")
    listener.close()

def serve(connection):
    file = connection.makefile("rb")
    while line := file.readline():
        while file.readline().strip():
            pass
        if b"/both" in line:
            both.wait()
        if not ending:
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        elif ending.pop() == "a request":
            ending.append("")
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        else:
            os._exit(0)

signal.signal(signal.SIGTERM, end)
try:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],)).start()
except OSError:
    threading.Event().wait()
"""


async def test_replica_that_others_stop_gets_no_more_requests(running: Running, service: Make, client: Client, until: Until) -> None:
    async def ask(path: str) -> int:
        async with client.get(url(here, path)) as response:
            return response.status

    async with running(service(command=["python", "-c", ENDING], timeoutSeconds=5)) as here:
        assert [*await asyncio.gather(ask("/both"), ask("/both"))] == [200, 200]  # over two connections, which are kept
        (replica,) = here.controller.revisions["hello-00001"].pool.ready
        os.kill(replica.process.pid, signal.SIGTERM)
        async with asyncio.timeout(20):
            while not await is_refused(replica.port):
                pass
        assert await ask("/") == 200
        await until(lambda: replica.state is State.LOST)
        assert await ask("/") == 200
        assert here.status()["services"]["hello"]["revisions"][0]["starts"] == 2
        here.kill()  # the function does not end by one signal


async def test_request_over_its_time_limit_is_a_504(running: Running, service: Make, client: Client) -> None:
    async with running(service(timeoutSeconds=1)) as here, client.get(url(here, "/sleep")) as response:
        assert response.status == 504
        assert "request timeout" in (await response.json())["error"]


async def test_disconnect_of_the_caller_cancels_its_request(
    running: Running, service: Make, client: Client, root: Path, until: Until
) -> None:
    async with running(service()) as here:
        call = asyncio.create_task(get_json(client, url(here, "/sleep")))
        await until(lambda: list(root.glob("asleep-*")))
        call.cancel()
        await until(lambda: here.in_flight == 0)
        (root / "go").touch()


async def test_failed_start_is_reported_with_its_last_output(running: Running, service: Make, client: Client) -> None:
    broken = service(command=["python", "-c", "raise SystemExit('the artifact is missing')"])
    async with running(broken) as here:
        async with client.get(url(here)) as response:
            assert response.status == 503
            error = (await response.json())["error"]
        assert "hello-00001 cannot be started" in error
        assert "the artifact is missing" in error
        conditions = here.controller.store.get("revisions", "hello-00001")["status"]["conditions"]
        ready = next(condition for condition in conditions if condition["type"] == "Ready")
        assert ready["status"] == "False"
        assert "the artifact is missing" in ready["message"]


async def test_missing_program_is_named(running: Running, service: Make, client: Client) -> None:
    async with running(service(command=["no-such-program"])) as here, client.get(url(here)) as response:
        assert response.status == 503
        assert "cannot run no-such-program: No such file or directory" in (await response.json())["error"]
