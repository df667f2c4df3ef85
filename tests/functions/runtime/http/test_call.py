from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator

import pytest

from functions.runtime.errors import ClientGone, InvalidInput, Overloaded, TooLarge, UnsupportedMedia
from functions.runtime.http.asgi import Message
from functions.runtime.http.call import HTTPCall
from functions.runtime.inference.call import Capacity, RequestLimits
from functions.runtime.observability.exchange import Exchange

LIMITS = RequestLimits(body_bytes=1000, json_bytes=1000, bodies_bytes=1500, requests=2, timeout_seconds=60.0)
LENGTH = "inference-header-content-length"

MakeCall = Callable[..., HTTPCall]


@pytest.fixture
def capacity() -> Iterator[Capacity]:
    found = Capacity(LIMITS)
    yield found
    found.close()


@pytest.fixture
def make_call(capacity: Capacity) -> MakeCall:
    def make(*messages: Message, headers: list[tuple[str, str]] | None = None) -> HTTPCall:
        received: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            received.put_nowait(message)
        pairs = [(name.encode(), value.encode()) for name, value in headers or []]
        return HTTPCall(capacity, Exchange("v2", "/v2", 1), {"headers": pairs}, received.get, dict(pairs))

    return make


def request(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_body_counts_until_the_call_ends(capacity: Capacity, make_call: MakeCall) -> None:
    with make_call(request(b"a" * 600, more=True), request(b"b" * 100)) as call:
        assert await call.body() == b"a" * 600 + b"b" * 100
        assert (call.exchange.request_bytes, capacity.budget.used) == (700, 700)
    assert capacity.budget.used == 0


async def test_compressed_body_counts_by_its_content(capacity: Capacity, make_call: MakeCall) -> None:
    with make_call(request(gzip.compress(b"a" * 900)), headers=[("content-encoding", "gzip")]) as call:
        assert await call.body() == b"a" * 900
        assert (call.exchange.request_bytes, capacity.budget.used) == (900, 900)
    assert capacity.budget.used == 0


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"a" * 1001, "identity", TooLarge),
        (gzip.compress(b"a" * 1001), "gzip", TooLarge),
        (gzip.compress(b"a" * 900)[:-1], "gzip", InvalidInput),
        (b"a", "br", UnsupportedMedia),
    ],
    ids=["large", "large uncompressed", "truncated", "unsupported"],
)
async def test_refused_body_takes_nothing(
    body: bytes, encoding: str, error: type[Exception], capacity: Capacity, make_call: MakeCall
) -> None:
    call = make_call(request(body), headers=[("content-encoding", encoding)])
    with call, pytest.raises(error):
        await call.body()
    assert capacity.budget.used == 0


async def test_body_beyond_the_budget_of_all_is_overloaded(capacity: Capacity, make_call: MakeCall) -> None:
    with make_call(request(b"a" * 1000)) as first, make_call(request(b"b" * 1000)) as second:
        await first.body()
        with pytest.raises(Overloaded):
            await second.body()
    assert capacity.budget.used == 0


async def test_client_that_disconnects_in_its_body_is_gone(capacity: Capacity, make_call: MakeCall) -> None:
    with make_call(request(b"a", more=True), {"type": "http.disconnect"}) as call, pytest.raises(ClientGone):
        await call.body()
    assert capacity.budget.used == 0


async def test_disconnect_is_noticed_after_the_body(make_call: MakeCall) -> None:
    await make_call(request(b""), {"type": "http.disconnect"}).disconnected()


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/vnd.x+json", "text/plain", "", None]
)
def test_json_and_the_defaults_of_clients_are_accepted(content_type: str | None, make_call: MakeCall) -> None:
    make_call(headers=[] if content_type is None else [("content-type", content_type)]).check_json()


def test_other_content_type_is_refused_with_a_remedy(make_call: MakeCall) -> None:
    with pytest.raises(UnsupportedMedia, match="unsupported Content-Type 'text/csv'; send application/json"):
        make_call(headers=[("content-type", "text/csv")]).check_json()


@pytest.mark.parametrize(("headers", "expected"), [([], None), ([(LENGTH, "3")], 3), ([(LENGTH, "0")], 0)], ids=str)
def test_json_length_is_the_header(headers: list[tuple[str, str]], expected: int | None, make_call: MakeCall) -> None:
    assert make_call(headers=headers).json_length(b"abc") == expected


@pytest.mark.parametrize("value", ["4", "-1", "1.0", "", "9" * 19])
def test_json_length_that_does_not_fit_is_refused(value: str, make_call: MakeCall) -> None:
    with pytest.raises(InvalidInput, match="send the number of bytes of the JSON part, at most the 3 of the body"):
        make_call(headers=[(LENGTH, value)]).json_length(b"abc")


def test_json_length_sent_twice_is_refused(make_call: MakeCall) -> None:
    with pytest.raises(InvalidInput, match="sent more than once; send it once"):
        make_call(headers=[(LENGTH, "1"), (LENGTH, "2")]).json_length(b"abc")
