from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from common.http_client import session
from eventing.codecs.json import BATCH_MEDIA_TYPE
from functions.router.compression import Decompressed, decompress
from functions.runtime.errors import InvalidInput, UnsupportedMedia
from tests.functions.router.flights import service

if TYPE_CHECKING:
    from tests.functions.router.conftest import StartRouter, StartServer


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3), st.integers(0, 200))
def test_no_more_is_decompressed_than_requested(members: list[bytes], most: int) -> None:
    content = b"".join(members)
    packed = b"".join(gzip.compress(member) for member in members)
    assert decompress(packed, b"gzip", most) == Decompressed(content[:most], len(content) <= most)


def test_a_zip_bomb_is_not_decompressed() -> None:
    assert decompress(gzip.compress(b"0" * 10_000_000), b"x-gzip", 100) == Decompressed(b"0" * 100, False)


@pytest.mark.parametrize("body", [b"{}", gzip.compress(b"x" * 1_000)[:-9], gzip.compress(b"x") + b"y"], ids=["json", "cut off", "and more"])
def test_data_that_is_not_gzip_is_a_sentence(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="gzip"):
        decompress(body, b"gzip", 10_000)


def test_too_many_members_are_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="members"):
        decompress(gzip.compress(b"") * 100_000, b"gzip", 10_000)


def test_an_unsupported_encoding_is_named() -> None:
    with pytest.raises(UnsupportedMedia, match="unsupported Content-Encoding 'br'; send the body uncompressed"):
        decompress(b"", b"BR", 1)


async def test_compressed_requests_are_split(start_server: StartServer, start_router: StartRouter) -> None:
    async def revision(request: web.Request) -> web.StreamResponse:
        assert "Content-Encoding" not in request.headers
        body = orjson.loads(await request.read())
        if isinstance(body, list):
            return web.Response(body=orjson.dumps([{"id": item["id"]} for item in body]), content_type=BATCH_MEDIA_TYPE)
        return web.json_response({"model_name": "flights", "outputs": body["inputs"]})

    url = await start_router(service(await start_server(revision), "v1", "v2"))
    events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "subject": f"k{n}"} for n in range(50)]
    column = {"name": "x", "shape": [50], "datatype": "FP32", "data": list(range(50))}
    rows = {"parameters": {"routing_keys": [f"k{n}" for n in range(50)]}, "inputs": [column]}
    packed = {"Content-Encoding": "gzip"}
    async with session(timeout_seconds=20) as client:
        batch = gzip.compress(orjson.dumps(events))
        async with client.post(f"{url}/models/flights", data=batch, headers={**packed, "content-type": BATCH_MEDIA_TYPE}) as answer:
            assert [reply["id"] for reply in await answer.json(content_type=None)] == [str(n) for n in range(50)]
        async with client.post(f"{url}/v2/models/flights/infer", data=gzip.compress(orjson.dumps(rows)), headers=packed) as answer:
            outputs = (await answer.json())["outputs"]
    assert outputs[0]["data"] == list(range(50))
    assert set(outputs[1]["data"]) == {"flights-v1", "flights-v2"}


async def test_a_compressed_body_is_forwarded_compressed(start_server: StartServer, start_router: StartRouter) -> None:
    async def revision(request: web.Request) -> web.StreamResponse:
        return web.json_response({"encoding": request.headers["Content-Encoding"], "body": (await request.read()).decode()})

    url = await start_router(service(await start_server(revision), "v1"), max_json_bytes=1_000)
    body = gzip.compress(b" " * 100_000 + b"{}")
    async with session(timeout_seconds=20) as client:
        async with client.post(f"{url}/v2/models/flights/infer", data=body, headers={"Content-Encoding": "gzip"}) as answer:
            # aiohttp's server decompresses a body by its Content-Encoding.
            assert await answer.json() == {"encoding": "gzip", "body": " " * 100_000 + "{}"}
        event = {"content-type": "application/cloudevents+json", "Content-Encoding": "gzip"}
        async with client.post(f"{url}/models/flights", data=body, headers=event) as answer:
            assert answer.status == 413
