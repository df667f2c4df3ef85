from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from common.http_client import session
from functions.batch.client import Client, Refused, RetryPolicy
from functions.runtime.errors import BadAnswer

if TYPE_CHECKING:
    from tests.functions.batch.conftest import FakeModel

Call = Callable[[], Awaitable[bytes]]


@given(st.integers(1, 50))
def test_waits_double_up_to_a_bound(attempt: int) -> None:
    wait = RetryPolicy(first_seconds=0.5, longest_seconds=8).wait(attempt, None)
    assert 0 <= wait <= min(0.5 * 2 ** (attempt - 1), 8)


@pytest.mark.parametrize(("retry_after", "least"), [("3", 3), ("0", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("", 0)])
def test_retry_after_is_added_to_the_wait(retry_after: str, least: float) -> None:
    assert least <= RetryPolicy(first_seconds=0.5).wait(1, retry_after) <= least + 0.5


@pytest.fixture
async def call(url: str) -> AsyncIterator[Call]:
    """Return a function that requests the model's metadata."""
    async with session(timeout_seconds=60, raw=True) as opened:
        client = Client(url, opened, RetryPolicy(total_seconds=1, first_seconds=0.01))
        yield lambda: client.call("GET", "/v2/models/flights")


async def test_endless_response_is_read_up_to_a_bound(model: FakeModel, call: Call) -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(2**20))
            written += 2**20

    model.handler = endless
    with pytest.raises(BadAnswer, match="the model's response has more than 67,108,864 bytes"):
        await call()
    assert written < 100 * 2**20


@pytest.mark.parametrize(
    ("packed", "encoding", "sentence"),
    [
        (gzip.compress(bytes(2**27)), "gzip", "has more than 67,108,864 bytes"),
        (zlib.compress(bytes(2**27)), "deflate", "has more than 67,108,864 bytes"),
        (b"plain", "gzip", "is not compressed by its Content-Encoding"),
        (gzip.compress(b"whole", mtime=0)[:-9], "gzip", "the compressed body of the model's response is incomplete"),
        (b"anything", "br", "unsupported Content-Encoding 'br' in the model's response; gzip and deflate"),
    ],
)
async def test_compressed_response_is_read_up_to_a_bound(packed: bytes, encoding: str, sentence: str, model: FakeModel, call: Call) -> None:
    model.failures = [web.Response(body=packed, headers={"Content-Encoding": encoding})]
    with pytest.raises(BadAnswer, match=sentence):
        await call()


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (bytes, "identity")])
async def test_compressed_response_is_read(pack: Callable[[bytes], bytes], encoding: str, model: FakeModel, call: Call) -> None:
    model.failures = [web.Response(body=pack(b"whole"), headers={"Content-Encoding": encoding})]
    assert await call() == b"whole"


async def test_reason_is_one_line_of_bounded_length(model: FakeModel, call: Call) -> None:
    model.failures = [web.json_response({"error": "a\x1b[31m\nb" + "x" * 10_000}, status=400)]
    with pytest.raises(Refused) as caught:
        await call()
    assert str(caught.value).startswith("a [31m bxxx")
    assert len(str(caught.value)) < 600
    assert caught.value.status == 400
