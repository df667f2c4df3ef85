"""Web servers: a real one with ranges, and what servers do wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from functions.batch.errors import InvalidDataset, InvalidPath
from functions.batch.storage import EVERYTHING, Policy, Source, open_source
from tests.functions.batch.storage.datasets import rows_of

TABLE = pa.table({"id": list(range(1_000)), "carrier": ["UA", "DL"] * 500})


def parquet() -> bytes:
    file = BytesIO()
    pq.write_table(TABLE, file, row_group_size=100)
    return file.getvalue()


class Server:
    """Files by path; `ranges` and `tags` are what it supports."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/a.parquet": parquet(), "/a.csv": b"a,b\n1,2\n", "/empty.jsonl": b""}
        self.redirects: dict[str, str] = {}
        self.ranges, self.tags = True, True
        self.requests: list[tuple[str, str]] = []
        self.change: Callable[[], None] | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path_qs, request.headers.get("Range", "")))
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        if request.path == "/secret":
            return web.Response(status=403)
        content = self.files.get(request.path)
        if content is None:
            return web.Response(status=404)
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": tag} if self.tags else {}
        if request.headers.get("If-Match", tag) != tag:
            return web.Response(status=412)
        if not self.ranges:
            return web.Response(body=content, headers=headers)
        return self._range(content, request.http_range, headers)

    def _range(self, content: bytes, wanted: slice, headers: dict[str, str]) -> web.Response:
        if wanted.start >= len(content):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}", **headers})
        part = content[wanted]
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.start + len(part) - 1}/{len(content)}"
        return web.Response(status=206, body=part, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", found.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found


async def opened(location: str, policy: Policy = EVERYTHING, memory_bytes: int = 2**28) -> Source:
    return await asyncio.to_thread(open_source, location, policy=policy, memory_bytes=memory_bytes)


async def read(location: str, policy: Policy = EVERYTHING) -> list[dict[str, object]]:
    source = await opened(location, policy)
    return await asyncio.to_thread(rows_of, source)


@pytest.mark.parametrize("ranges", [True, False])
async def test_file_is_read(ranges: bool, server: Server) -> None:
    server.ranges = ranges
    assert await read(f"{server.url}/a.parquet") == TABLE.to_pylist()
    assert await read(f"{server.url}/a.csv?token=secret") == [{"a": 1, "b": 2}]
    assert await read(f"{server.url}/empty.jsonl") == []


async def test_only_the_ranges_that_are_needed_are_read(server: Server) -> None:
    large = pa.table({"x": pa.array(range(3_000_000), pa.int64())})
    file = BytesIO()
    pq.write_table(large, file, row_group_size=500_000, compression="none", use_dictionary=False)
    server.files["/large.parquet"] = file.getvalue()
    source = await opened(f"{server.url}/large.parquet")
    server.requests.clear()
    assert await asyncio.to_thread(rows_of, source, 2_999_999) == [{"x": 2_999_999}]
    spans = [requested.removeprefix("bytes=").split("-") for _, requested in server.requests]
    assert sum(int(end) - int(start) + 1 for start, end in spans) < len(file.getvalue()) // 2


@pytest.mark.parametrize(("ranges", "tags", "kind"), [(True, True, "etag:"), (True, False, "changed:"), (False, True, "sha256:")])
async def test_version_is_what_the_server_says(ranges: bool, tags: bool, kind: str, server: Server) -> None:
    server.ranges, server.tags = ranges, tags
    assert (await opened(f"{server.url}/a.csv")).files[0].version.startswith(kind)


async def test_file_that_changes_while_it_is_read_is_one_sentence(server: Server) -> None:
    large = pa.table({"x": pa.array(range(2_000_000), pa.int64())})
    file = BytesIO()
    pq.write_table(large, file, row_group_size=100_000, compression="none", use_dictionary=False)
    server.files["/a.parquet"] = file.getvalue()
    # Row groups that fit into the memory would be read at once, before the change.
    source = await opened(f"{server.url}/a.parquet", memory_bytes=2**20)

    def changed() -> None:
        for piece in source.batches(source.files[0]):
            assert piece.rows
            server.files["/a.parquet"] = b"PAR1" + file.getvalue()

    with pytest.raises(InvalidPath, match=r"a.parquet \(it changed while it was read\)"):
        await asyncio.to_thread(changed)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/no.csv", r"cannot read http://127.0.0.1:\d+/no.csv \(not found\)"),
        ("/secret?format.csv", r"cannot read http://127.0.0.1:\d+/secret\?… \(access denied\)"),
        ("/circle.csv", "redirects more than 5 times"),
        ("/file.csv", "redirects to file; name the location"),
        ("/a.csv/*.csv", "not found"),
    ],
)
async def test_unreadable_location_is_one_sentence(path: str, sentence: str, server: Server) -> None:
    server.redirects = {"/circle.csv": "/circle.csv", "/file.csv": "file:///etc/passwd"}
    with pytest.raises(InvalidPath, match=sentence):
        await opened(f"{server.url}{path}")


async def test_redirect_is_followed_within_the_policy(server: Server) -> None:
    server.files["/data/b.csv"] = server.files["/a.csv"]
    server.redirects = {"/data/a.csv": "/data/b.csv?signed=1", "/data/out.csv": "/a.csv"}
    policy = Policy.from_setting(f"{server.url}/data")
    assert await read(f"{server.url}/data/a.csv", policy) == [{"a": 1, "b": 2}]
    with pytest.raises(InvalidPath, match=r"/a.csv is outside the locations that a batch may use"):
        await opened(f"{server.url}/data/out.csv", policy)
    assert ("/a.csv", "bytes=0-0") not in server.requests


async def test_name_that_resolves_to_a_private_address_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: resolve("127.0.0.1", *rest, **named))
    url = server.url.replace("127.0.0.1", "data.example.com")
    with pytest.raises(InvalidPath, match=r"the host data.example.com resolves to 127.0.0.1, which is not a public address; set TIDEGATE"):
        await opened(f"{url}/a.csv", Policy.from_setting(url))
    assert server.requests == []
    assert await read(f"{url}/a.csv", Policy.from_setting(url, private_addresses=True)) == [{"a": 1, "b": 2}]


async def test_unknown_host_and_closed_port_are_one_sentence(server: Server) -> None:
    for url, reason in [("http://nowhere.invalid/a.csv", "unknown host"), ("http://127.0.0.1:9/a.csv", "Connection refused")]:
        with pytest.raises(InvalidPath, match=rf"cannot read {url} \({reason}\); check the location"):
            await opened(url)


async def test_damaged_file_is_one_sentence(server: Server) -> None:
    server.files["/a.parquet"] = parquet()[:-20]
    with pytest.raises(InvalidDataset, match=r"a.parquet is not a Parquet file"):
        await opened(f"{server.url}/a.parquet")
