"""Frames through a service: requests, routing, retries and errors."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from aiohttp import web

from functions.batch.client import RetryPolicy
from functions.batch.settings import BatchLimits
from functions.runtime.errors import Unreachable
from tests.functions.batch.conftest import METADATA, FakeModel
from tidegate import frames
from tidegate.frames.scorer import InvalidScorer, Scorer

LIMITS = BatchLimits(chunk_rows=4, retry=RetryPolicy(total_seconds=5, first_seconds=0.001))


async def made(url: str, **options: Any) -> Scorer:
    return await asyncio.to_thread(frames.scorer, "flights", url=url, limits=LIMITS, **options)


def frame(rows: int = 10) -> Any:
    index = [f"r{row}" for row in range(rows)]
    return pd.DataFrame({"carrier": ["UA"] * rows, "distance": np.arange(rows), "tail": [f"N{row}" for row in range(rows)]}, index)


async def test_a_frame_keeps_columns_and_index_and_gets_the_outputs(url: str, model: FakeModel) -> None:
    score = await made(url)
    given = frame().assign(photo=[[1, 2]] * 10)
    scored = await asyncio.to_thread(score, given)
    assert list(scored) == ["carrier", "distance", "tail", "photo", "late"]
    assert scored.late.dtype == np.float32
    pd.testing.assert_frame_equal(scored, given.assign(late=2 * given.distance.astype("float32")))
    assert sorted(len(request["inputs"][0]["data"]) for request in model.requests) == [2, 4, 4]
    assert {item["name"] for request in model.requests for item in request["inputs"]} == {"carrier", "distance"}


TO_ARROW: dict[str, Callable[[Any], Any]] = {
    "table": lambda given: pa.Table.from_pandas(given, preserve_index=False),
    "record batch": lambda given: pa.RecordBatch.from_pandas(given, preserve_index=False),
    "arrays": lambda given: {name: given[name].to_numpy() for name in given},
}


@pytest.mark.parametrize("kind", TO_ARROW)
async def test_other_kinds_of_frames_stay_what_they_are(url: str, kind: str) -> None:
    score = await made(url)
    given = TO_ARROW[kind](frame())
    scored = await asyncio.to_thread(score, given)
    assert type(scored) is type(given)
    assert list(np.asarray(scored["late"])) == [2.0 * row for row in range(10)]


async def test_an_iterator_is_scored_frame_by_frame(url: str) -> None:
    score = await made(url)
    read: list[int] = []

    def source() -> Any:
        for number in range(3):
            read.append(number)
            yield frame(number)

    scored = await asyncio.to_thread(score, source())
    first = await asyncio.to_thread(next, scored)
    assert (len(first), first.late.dtype, read) == (0, np.float32, [0])
    assert [len(item) for item in await asyncio.to_thread(list, scored)] == [1, 2]


async def test_with_a_key_rows_are_split_and_the_revision_is_a_column(url: str, model: FakeModel) -> None:
    score = await made(url, key="tail")
    scored = await asyncio.to_thread(score, frame(3))
    assert scored.revision.tolist() == ["N", "N", "N"]
    assert model.requests[0]["parameters"]["routing_keys"] == ["N0", "N1", "N2"]
    assert score.spark_schema("tail string") == "tail string, `late` float, `revision` string"
    meta = await asyncio.to_thread(score.dask_meta, frame(1))
    assert (list(meta), len(meta), meta.late.dtype) == ([*frame(0), "late", "revision"], 0, np.float32)


@pytest.fixture
def seen(model: FakeModel) -> list[web.Request]:
    """The requests, which the model answers with its metadata and its scores."""
    found: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        found.append(request)
        if request.method == "GET":
            return web.json_response(METADATA)
        await request.read()
        return web.json_response({"outputs": [{"name": "late", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]})

    model.handler = handle
    return found


async def test_a_version_and_a_revision_are_pinned_from_the_metadata_on(url: str, seen: list[web.Request]) -> None:
    score = await made(url, version="v2", revision="candidate")
    await asyncio.to_thread(score, frame(1))
    assert [request.path for request in seen] == ["/v2/models/flights/versions/v2", "/v2/models/flights/versions/v2/infer"]
    assert {request.headers["Tidegate-Revision"] for request in seen} == {"candidate"}


async def test_a_repeated_task_goes_to_the_same_revision(url: str, seen: list[web.Request]) -> None:
    score = await made(url)
    for item in (score, pickle.loads(pickle.dumps(score))):  # noqa: S301 our own
        await asyncio.to_thread(item, frame(1))
    await asyncio.to_thread(score, frame(1).assign(distance=7))
    first, again, other = [request.headers["Tidegate-Routing-Key"] for request in seen[1:]]
    assert first == again != other


async def test_categories_are_sent_as_strings(url: str, model: FakeModel) -> None:
    score = await made(url)
    scored = await asyncio.to_thread(score, frame(2).assign(carrier=pd.Categorical(["UA", "DL"])))
    assert scored.carrier.dtype == "category"
    assert model.requests[0]["inputs"][0]["data"] == ["UA", "DL"]


async def test_a_column_without_values_has_any_type(url: str, model: FakeModel) -> None:
    score = await made(url)
    await asyncio.to_thread(score, frame(2).assign(carrier=np.nan, seats=None))
    assert [item["data"] for item in model.requests[0]["inputs"]] == [[None, None], [0, 1], [None, None]]


async def test_a_busy_model_is_asked_again(url: str, model: FakeModel) -> None:
    score = await made(url)
    model.failures = [web.Response(status=status, headers={"Retry-After": "0"}) for status in (503, 429)]
    assert len(await asyncio.to_thread(score, frame())) == 10
    assert model.failures == []


async def test_an_outage_is_one_sentence(url: str, model: FakeModel) -> None:
    score = await made(url)
    hasty = BatchLimits(retry=RetryPolicy(total_seconds=1.0))
    model.failures = [web.Response(status=503) for _ in range(500)]
    impatient = frames.Scorer(model="flights", backend=type(score.backend)(url=url, limits=hasty), signature=score.signature)  # type: ignore[call-arg]
    with pytest.raises(
        Unreachable, match=r"^the router at .* did not answer in 1 s \(status 503: no reason given\); check that it is running\.$"
    ):
        await asyncio.to_thread(impatient, frame())


async def test_a_refused_row_is_named_by_position_and_index(url: str, model: FakeModel) -> None:
    async def answer(body: dict[str, Any]) -> web.Response:
        distances = next(item["data"] for item in body["inputs"] if item["name"] == "distance")
        if 6 in distances:
            return web.json_response({"error": f"row {distances.index(6)}: the input distance is 6; send another."}, status=400)
        return await model._score(body)

    score = await made(url)
    model.answer = answer
    reason = r"cannot be scored: the input distance is 6; send another \(status 400\); fix the row, or filter it out before\.$"
    with pytest.raises(frames.InvalidFrame, match=rf"^row 6 of the frame \(index r6\) {reason}"):
        await asyncio.to_thread(score, frame())
    parts = iter([frame().iloc[:5], frame().iloc[5:]])
    with pytest.raises(frames.InvalidFrame, match=rf"^row 6 of the partition \(index r6\) {reason}"):
        await asyncio.to_thread(lambda: list(score(parts)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda given: given.drop(columns="carrier"), "the frame lacks the column carrier; rename or add columns."),
        (lambda given: given.assign(late=1), "the frame has the column late, the name of an output of the model; rename or drop"),
        (lambda given: given.assign(distance="far"), "the column distance of the frame is .*, but the model takes numbers .FP32.;"),
        (lambda given: given.assign(carrier=[1, "a"] * 5), "the column carrier cannot be read: .*; give all of its values one type."),
        (lambda given: pd.concat([given, given], axis=1), "the frame has the column carrier, distance, tail more than once"),
        (lambda _: 7, "int is not a frame; pass a pandas DataFrame,"),
    ],
    ids=["missing", "output", "type", "mixed", "twice", "no frame"],
)
async def test_columns_that_do_not_fit_are_one_sentence(url: str, change: Callable[[Any], Any], sentence: str, model: FakeModel) -> None:
    score = await made(url)
    with pytest.raises(frames.InvalidFrame, match=f"^{sentence}"):
        await asyncio.to_thread(score, change(frame()))
    assert model.requests == []


@pytest.mark.parametrize("options", [{}, {"url": "http://x", "path": "x"}], ids=["neither", "both"])
def test_a_scorer_needs_a_service_or_an_artifact(options: dict[str, str]) -> None:
    with pytest.raises(InvalidScorer, match=r"^a scorer needs either the url of a router or the path of a model; pass one of them\.$"):
        frames.scorer("flights", **options)  # type: ignore[arg-type]
