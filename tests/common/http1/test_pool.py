"""Calls over real sockets, to servers that close, stall, send too much and never end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from common.http1 import pool as pools
from common.http1.connection import Body
from common.http1.errors import ConnectionBroken, ConnectTimedOut, MalformedReply, NotConnected
from common.http1.origin import origin_of
from common.http1.pool import Pool
from tests.fixtures.tls import certificate

if TYPE_CHECKING:
    from tests.common.http1.conftest import StartPeer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
MIB = 2**20


async def call(pool: Pool, url: str, method: str = "POST", body: bytes = b"x", seconds: float = 20.0, *, repeatable: bool = False) -> Body:
    headers = [(b"x-own", b"1")]
    return await pool.call(origin_of(url), method, "/a?b=c", headers, body, monotonic() + seconds, repeatable=repeatable)


async def whole(reply: Body) -> bytes:
    found = []
    while chunk := await reply.next():
        found.append(chunk)
    return b"".join(found)


async def exchange(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head, await reader.readexactly(int(length or b"0"))


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 the state of a connection has no event
        await asyncio.sleep(0)


async def test_a_connection_is_kept_whatever_the_replies(pool: Pool, start_peer: StartPeer) -> None:
    replies = {
        "POST": OK,
        "GET": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-trailer: 1\r\n\r\n",
        "HEAD": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
        "PUT": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        "DELETE": b"HTTP/1.1 204 No Content\r\n\r\n",
        "PATCH": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    }
    heads: list[list[bytes]] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append([])
        while True:
            head, _ = await exchange(reader)
            heads[-1].append(head)
            writer.write(replies[head.split(b" ")[0].decode()])

    url = await start_peer(speak)
    found = {method: await whole(await call(pool, url, method, b"" if method == "GET" else b"x")) for method in [*replies, "POST"]}
    assert found == {"POST": b"{}", "GET": b"{}", "HEAD": b"", "PUT": b"{}", "DELETE": b"", "PATCH": b""}
    assert len(heads) == 1
    authority = url.removeprefix("http://").encode()
    assert heads[0][0] == b"POST /a?b=c HTTP/1.1\r\nhost: %b\r\nx-own: 1\r\ncontent-length: 1\r\n\r\n" % authority
    assert heads[0][1] == b"GET /a?b=c HTTP/1.1\r\nhost: %b\r\nx-own: 1\r\n\r\n" % authority


@pytest.mark.parametrize(
    ("method", "repeatable", "is_repeated"),
    [
        *((method, False, True) for method in ("GET", "HEAD", "DELETE")),
        *((method, False, False) for method in ("POST", "PATCH")),
        ("POST", True, True),
    ],
)
async def test_a_kept_connection_that_is_closed_without_a_reply(
    method: str, repeatable: bool, is_repeated: bool, pool: Pool, start_peer: StartPeer
) -> None:
    seen = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await exchange(reader))
            if len(seen) == 2:  # the first one on a kept connection
                return
            writer.write(OK if method != "HEAD" else OK[:-2])

    url = await start_peer(speak)
    await call(pool, url, method, repeatable=repeatable)
    if is_repeated:
        assert (await call(pool, url, method, repeatable=repeatable)).status == 200
    else:
        with pytest.raises(ConnectionBroken):
            await call(pool, url, method, repeatable=repeatable)
    assert len(seen) == (3 if is_repeated else 2)
    assert {body for _, body in seen} == {b"x"}


async def test_a_request_that_ends_its_server_is_repeated_once(pool: Pool, start_peer: StartPeer) -> None:
    seen = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while True:
            _, body = await exchange(reader)
            if body == b"poison":
                seen += 1
                return
            writer.write(OK)

    url = await start_peer(speak)
    for reply in await asyncio.gather(*(call(pool, url) for _ in range(4))):  # several connections that are kept
        await whole(reply)
    with pytest.raises(ConnectionBroken):
        await call(pool, url, body=b"poison", repeatable=True)
    assert seen == 2


async def test_a_reply_that_has_begun_is_not_repeated(pool: Pool, start_peer: StartPeer) -> None:
    seen = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await exchange(reader))
            writer.write(OK if len(seen) == 1 else b"H")
            if len(seen) > 1:
                return

    url = await start_peer(speak)
    await call(pool, url, repeatable=True)
    with pytest.raises(ConnectionBroken):
        await call(pool, url, repeatable=True)
    assert len(seen) == 2


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200", OK[:-1]])
async def test_a_call_on_a_new_connection_is_sent_once(beginning: bytes, pool: Pool, start_peer: StartPeer) -> None:
    seen = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await exchange(reader))
        writer.write(beginning)

    url = await start_peer(speak)
    with pytest.raises(ConnectionBroken):
        await whole(await call(pool, url, "GET"))
    assert len(seen) == 1


async def test_a_connection_that_the_server_has_closed_is_not_used(pool: Pool, start_peer: StartPeer) -> None:
    closed = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader)
        writer.write(OK)
        writer.close()
        await writer.wait_closed()
        closed.set()

    url = await start_peer(speak)
    for _ in range(3):
        assert await whole(await call(pool, url)) == b"{}"
        await closed.wait()
        closed.clear()


async def test_an_old_connection_is_not_used(pool: Pool, start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_IDLE_SECONDS", 0.0)
    connections = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await exchange(reader)
            writer.write(OK)

    url = await start_peer(speak)
    for _ in range(2):
        await call(pool, url)
    assert len(connections) == 2


async def test_idle_connections_are_closed(pool: Pool, start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(pools, "_IDLE_SECONDS", 0.05)
    ended = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader)
        writer.write(OK)
        assert await reader.read() == b""
        ended.set()

    await call(pool, await start_peer(speak))
    await asyncio.wait_for(ended.wait(), 20)


async def test_a_pool_without_connections_does_not_wake(pool: Pool, start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_SWEEP_SECONDS", 0.01)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader)
        writer.write(OK)
        await exchange(reader)  # the second one has no reply

    url = await start_peer(speak)
    await call(pool, url)
    with pytest.raises(ConnectionBroken):
        await call(pool, url)
    await asyncio.wait_for(until(lambda: pool._timer is None), 20)
    assert not pool._idle


async def test_idle_connections_are_bounded(pool: Pool, start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_MOST_IDLE", 2)
    arrived = asyncio.Semaphore(0)
    go_on = asyncio.Event()
    ended = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader)
        arrived.release()
        await go_on.wait()
        writer.write(OK)
        await reader.read()
        ended.append(writer)

    url = await start_peer(speak)
    calls = [asyncio.create_task(call(pool, url)) for _ in range(5)]
    for _ in calls:
        await arrived.acquire()
    go_on.set()
    await asyncio.gather(*calls)
    await until(lambda: len(ended) == 3)
    assert [len(idle) for idle in pool._idle.values()] == [2]


async def test_a_refused_connection_has_sent_nothing(pool: Pool) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(NotConnected, match=r"127\.0\.0\.1"):
            await call(pool, f"http://flights.localhost:{held.getsockname()[1]}")


async def test_all_addresses_of_a_name_are_tried(pool: Pool, start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await exchange(reader)
        assert b"\r\nhost: flights.models.svc:" in head
        writer.write(OK)

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    port = (await start_peer(speak)).rpartition(":")[2]
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert (await call(pool, f"http://flights.models.svc:{port}")).status == 200


async def test_a_connection_that_is_not_accepted_times_out(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(pools, "_CONNECT_SECONDS", 0.02)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    with pytest.raises(ConnectTimedOut):
        await call(pool, "http://127.0.0.1:1")
    with pytest.raises(TimeoutError):
        await call(pool, "http://127.0.0.1:1", seconds=0.01)


@pytest.mark.parametrize("drip", [b"", b"H", b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n"])
async def test_a_call_ends_at_its_deadline(drip: bytes, pool: Pool, start_peer: StartPeer) -> None:
    ended = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange(reader)
        writer.write(drip)
        with contextlib.suppress(ConnectionError):
            while drip and not reader.at_eof() and not writer.is_closing():  # uvloop refuses to write then
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.01)
            await reader.read()
        ended.set()

    with pytest.raises((TimeoutError, MalformedReply)):
        await whole(await call(pool, await start_peer(speak), seconds=0.3))
    await asyncio.wait_for(ended.wait(), 20)


async def test_a_reply_that_is_not_read_stops_its_server(pool: Pool, start_peer: StartPeer) -> None:
    size = 64 * MIB
    sent = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await exchange(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * MIB)
            sent += MIB
            await writer.drain()
        await reader.read()

    reply = await call(pool, await start_peer(speak))
    connection = reply._connection
    await until(lambda: not connection._transport.is_reading())
    assert reply._size < MIB
    assert sent < size
    total = 0
    while chunk := await reply.next():
        assert len(chunk) < MIB
        total += len(chunk)
    assert total == size


async def test_a_large_request_is_sent_as_it_is_read(pool: Pool, start_peer: StartPeer) -> None:
    body = bytes(range(256)) * (64 * MIB // 256)
    began, go_on = asyncio.Event(), asyncio.Event()
    found = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        await go_on.wait()
        found.append((await exchange(reader))[1])
        writer.write(OK)

    calling = asyncio.create_task(call(pool, await start_peer(speak), body=body))
    await began.wait()
    (connection,) = pool._busy
    await until(lambda: connection._drained)
    assert connection._transport.get_write_buffer_size() < MIB
    go_on.set()
    assert await whole(await calling) == b"{}"
    assert found[0] == body


async def test_a_request_that_is_refused_early_is_not_sent_to_its_end(pool: Pool, start_peer: StartPeer) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge"

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await writer.drain()
        await reader.read(10 * MIB)
        await asyncio.Event().wait()

    url = await start_peer(speak)
    reply = await call(pool, url, body=b"x" * 200 * MIB)
    assert (reply.status, await whole(reply)) == (413, b"large")
    assert not pool._idle, "the connection cannot carry another request"


@pytest.mark.parametrize("answer", [OK, b""], ids=["reply", "end"])
async def test_a_server_that_does_not_read_on_holds_no_connection(answer: bytes, pool: Pool, start_peer: StartPeer) -> None:
    """It answers, or ends its side, while a part of the body waits to be sent."""
    stalled = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stalled.wait()
        writer.write(answer)
        writer.write_eof()
        await asyncio.Event().wait()

    url = await start_peer(speak)
    calling = asyncio.create_task(call(pool, url, body=b"x" * 64 * MIB, seconds=60))
    await until(lambda: any(connection._drained for connection in pool._busy))
    stalled.set()
    async with asyncio.timeout(10):
        if answer:
            assert await whole(await calling) == b"{}"
        else:
            with pytest.raises(ConnectionBroken):
                await calling
        await until(lambda: not pool._busy)


async def test_a_call_that_is_given_up_closes_its_connection(pool: Pool, start_peer: StartPeer) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def speak(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await exchange(reader)
        arrived.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    calling = asyncio.create_task(call(pool, await start_peer(speak)))
    await arrived.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await asyncio.wait_for(ended.wait(), 20)


async def test_a_call_that_is_given_up_after_its_reply_leaves_the_connection_to_others(pool: Pool, start_peer: StartPeer) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await exchange(reader)
            writer.write(OK)

    url = await start_peer(speak)
    await call(pool, url)
    calling = asyncio.create_task(call(pool, url))
    await until(lambda: pool._busy)
    await until(lambda: not pool._busy)  # the reply has arrived, of which the task does not know yet
    calling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await calling
    ((connection,),) = pool._idle.values()
    assert connection.is_open
    assert await whole(await call(pool, url)) == b"{}"


@pytest.mark.parametrize("surplus", [OK, b"x", b"HTTP/1.1 500 No\r\n"])
async def test_an_unrequested_reply_reaches_no_other_call(surplus: bytes, pool: Pool, start_peer: StartPeer) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await exchange(reader)
            writer.write(OK + surplus)

    url = await start_peer(speak)
    for _ in range(3):
        assert await whole(await call(pool, url)) == b"{}"
        assert not pool._idle


async def test_a_server_of_https_is_verified(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(b"".join(certificate(x509.DNSName("flights.localhost"))))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    heads = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            with contextlib.suppress(asyncio.IncompleteReadError):
                heads.append((await exchange(reader))[0])
                writer.write(OK)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=tls)
    request.addfinalizer(server.close)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionBroken, match="TLS: CERTIFICATE_VERIFY_FAILED"):
        await call(pool, f"https://flights.localhost:{port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trusting = Pool()
    for _ in range(2):
        assert await whole(await call(trusting, f"https://flights.localhost:{port}")) == b"{}"
    with pytest.raises(ConnectionBroken, match="TLS"):
        await call(trusting, f"https://other.localhost:{port}")
    assert [head.splitlines()[1] for head in heads] == [b"host: flights.localhost:%d" % port] * 2
    await trusting.close()
