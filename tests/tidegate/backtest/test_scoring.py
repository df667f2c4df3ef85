"""Revisions and their scores through a router that answers in unusual ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from aiohttp import web

from common.errors import TidegateError
from common.http_client import session
from eventing.codecs import json as codec
from eventing.event import Event
from functions.batch.client import Client, Refused, RetryPolicy
from functions.batch.settings import BatchLimits
from functions.batch.signature import Output, Signature
from functions.runtime.errors import BadAnswer
from tidegate.backtest.errors import InvalidScores, RevisionNotFound, SameRevision
from tidegate.backtest.revisions import REVISION_HEADER, check_different, find
from tidegate.backtest.scoring import Scorer, inputs_of, score_output
from tidegate.replay.candidate import Candidate

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
METADATA = {
    "name": "m",
    "versions": ["v1"],
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}, {"name": "p", "datatype": "FP32", "shape": [-1]}],
}
ROWS = pa.RecordBatch.from_pydict({"x": [0.1, 0.2, 0.3, 0.4], "p": [True, False, True, False]})


class Router:
    """Answers by `infer`, as the revision that a request names; `refuse` is its answer to a name."""

    def __init__(self) -> None:
        self.refuse: Callable[[str], web.Response | None] = lambda name: None
        self.infer: Callable[[list[float]], web.Response] = self.scores
        self.events: Callable[[list[Event]], web.Response] = lambda events: web.Response()
        self.answers_as = ""
        self.names_revisions = True
        self.versions: tuple[str, ...] = ()
        self.sizes: list[int] = []

    def scores(self, xs: list[float]) -> web.Response:
        outputs = [{"name": "p", "datatype": "FP32", "shape": [len(xs)], "data": xs}]
        return web.json_response({"outputs": outputs})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.headers.get(REVISION_HEADER, "")
        if name and (refusal := self.refuse(name)) is not None:
            return refusal
        _, _, version = request.path.partition("/versions/")
        version = version.removesuffix("/infer")
        if version and version not in self.versions:
            return web.json_response({"error": f"model m has no version {version} here"}, status=404)
        response = await self._answer(request)
        if self.names_revisions:
            response.headers[REVISION_HEADER] = self.answers_as or name or f"m-{version or '00001'}"
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(METADATA)
        body = await request.read()
        if request.path == "/models/m":
            events = codec.decode_batch(body)
            self.sizes.append(len(events))
            return self.events(events)
        length = int(request.headers["Inference-Header-Content-Length"])
        xs = np.frombuffer(body[length:], "<f8").tolist()
        self.sizes.append(len(xs))
        return self.infer(xs)


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
async def client(router: Router) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", router.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        opened = await stack.enter_async_context(session(timeout_seconds=10, raw=True))
        yield Client(f"http://127.0.0.1:{runner.addresses[0][1]}", opened, RetryPolicy(total_seconds=1))


def refusal(status: int, error: str) -> Callable[[str], web.Response]:
    return lambda name: web.json_response({"error": error}, status=status)


async def scorer(client: Client, **limits: Any) -> Scorer:
    revision = await find(client, "m", "m-00001")
    output = score_output(revision.signature, None, revision.title)
    return Scorer(client, revision, inputs_of(revision.signature, ROWS.schema, "x.parquet"), output, BatchLimits(**limits))


async def test_label_may_have_the_name_of_the_output(client: Client) -> None:
    scores = await (await scorer(client)).score(ROWS, 0)
    assert scores == pytest.approx([0.1, 0.2, 0.3, 0.4])


async def test_too_large_request_is_halved(router: Router, client: Client) -> None:
    router.infer = lambda xs: router.scores(xs) if len(xs) < 3 else web.json_response({"error": "too large"}, status=413)
    one = await scorer(client)
    assert await one.score(ROWS, 0) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert await one.score(ROWS, 4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert router.sizes == [4, 2, 2, 2, 2]


async def test_refused_rows_are_named(router: Router, client: Client) -> None:
    router.infer = lambda xs: web.json_response({"error": "x is odd"}, status=400)
    with pytest.raises(Refused, match=r"m-00001 refused rows 100 to 103: x is odd \(status 400\)"):
        await (await scorer(client)).score(ROWS, 100)


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), (-0.1, "-0.1"), (None, "nan")])
async def test_score_that_is_no_probability_is_named(value: float | None, shown: str, router: Router, client: Client) -> None:
    outputs = [{"name": "p", "datatype": "FP32", "shape": [4], "data": [0.5, value, 0.5, 0.5]}]
    router.infer = lambda xs: web.json_response({"outputs": outputs})
    with pytest.raises(InvalidScores, match=f"the output p of m-00001 is no probability: {shown} in row 11; name an output"):
        await (await scorer(client)).score(ROWS, 10)


async def test_answer_of_another_revision_is_no_score(router: Router, client: Client) -> None:
    one = await scorer(client)
    router.answers_as = "m-00009"
    with pytest.raises(BadAnswer, match="the revision m-00009 answered instead of m-00001; run it again when no rollout is going on"):
        await one.score(ROWS, 0)


async def test_name_is_a_revision_or_a_tag_or_a_version(router: Router, client: Client) -> None:
    named = await find(client, "m", "canary")
    assert (named.path, named.headers, named.version) == ("/v2/models/m/infer", {REVISION_HEADER: "canary"}, "v1")
    router.refuse, router.versions = refusal(404, "model m has no revision or tag v2; it has m-00001."), ("v2",)
    versioned = await find(client, "m", "v2")
    assert (versioned.path, versioned.headers) == ("/v2/models/m/versions/v2/infer", {})
    assert (versioned.revision, versioned.version, versioned.title) == ("m-v2", "v2", "v2 (m-v2)")


async def test_version_is_found_where_naming_a_revision_is_switched_off(router: Router, client: Client) -> None:
    router.refuse, router.versions = refusal(403, "naming a revision is switched off here"), ("v2",)
    assert (await find(client, "m", "v2")).revision == "m-v2"
    with pytest.raises(RevisionNotFound, match="model m has no version v3 here; name one of these, or a version"):
        await find(client, "m", "v3")


async def test_unknown_name_is_one_sentence(router: Router, client: Client) -> None:
    router.refuse = refusal(404, "model m has no revision or tag v2; it has m-00001.")
    with pytest.raises(RevisionNotFound) as caught:
        await find(client, "m", "v2")
    assert str(caught.value).startswith("model m has no revision or tag v2; it has m-00001; name one of these, or a version; ")


async def test_address_that_is_no_router_is_named(router: Router, client: Client) -> None:
    router.names_revisions = False
    with pytest.raises(TidegateError, match="the address answers without naming a revision, so it is no router; name the router"):
        await find(client, "m", "m-00001")


async def test_two_names_of_one_revision_are_refused(router: Router, client: Client) -> None:
    router.answers_as = "m-00001"
    with pytest.raises(SameRevision, match="stable and v1 are both the revision m-00001; name two different ones"):
        check_different(await find(client, "m", "stable"), await find(client, "m", "v1"))


def test_output_of_one_number_a_row_is_required() -> None:
    signature = Signature((), (Output("label", "BYTES", 1), Output("classes", "FP32", 3)))
    with pytest.raises(InvalidScores, match="v1 has no output with one number a row; those are: none; name one with --score"):
        score_output(signature, None, "v1")


def events(count: int) -> list[bytes]:
    return [codec.encode(event) for event in _events(count)]


def _events(count: int) -> list[Event]:
    return [Event({"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"}, {"x": 0.1}) for number in range(count)]


def replied(found: list[Event], **attributes: str) -> web.Response:
    replies = [
        Event({**event.attributes, "type": "dev.tidegate.inference.completed", "modelversion": "v1", **attributes}, {"p": 0.5})
        for event in found
    ]
    return web.Response(body=codec.encode_batch(replies), content_type=codec.BATCH_MEDIA_TYPE)


async def candidate(client: Client) -> Candidate:
    return Candidate(client, "m", await find(client, "m", "m-00002"), "p")


async def test_too_large_batch_of_events_is_halved(router: Router, client: Client) -> None:
    router.events = lambda found: replied(found) if len(found) < 3 else web.json_response({"error": "too large"}, status=413)
    replies = await (await candidate(client)).ask(events(5))
    assert [(reply.score, reply.version) for reply in replies] == [(0.5, "v1")] * 5
    assert router.sizes == [5, 2, 3, 1, 2]


async def test_refused_event_is_a_problem_of_its_own(router: Router, client: Client) -> None:
    router.events = lambda found: web.json_response({"error": "too large"}, status=413)
    one = await candidate(client)
    assert await one.ask([]) == []
    (reply,) = await one.ask(events(1))
    assert reply.problem is not None
    assert (reply.problem.status, reply.problem.detail) == (413, "too large (status 413).")


async def test_refusal_of_the_caller_ends_the_replay(router: Router, client: Client) -> None:
    one = await candidate(client)
    router.refuse = refusal(403, "naming a revision is switched off here")
    with pytest.raises(Refused, match=r"naming a revision is switched off here \(status 403\)"):
        await one.ask(events(1))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda found: web.Response(body=b"{}"), r"m-00002 answered without a batch of events: "),
        (lambda found: replied(found[1:]), r"m-00002 answered 2 events with 1 replies\."),
    ],
    ids=["no-batch", "too-few"],
)
async def test_malformed_answer_of_the_candidate_is_one_sentence(
    answer: Callable[[list[Event]], web.Response], sentence: str, router: Router, client: Client
) -> None:
    router.events = answer
    with pytest.raises(BadAnswer, match=sentence):
        await (await candidate(client)).ask(events(2))
