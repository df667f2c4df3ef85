"""A batch with routing keys during a canary of half the traffic, through a real router and both revisions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.http_client import session
from eventing.types import BATCH_COMPLETED
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.settings import BatchLimits
from tests.fixtures.frames import flights_frame
from tests.tidegate.commands.conftest import MODEL
from tidegate.commands.options import router
from tidegate.demo.control import Workbench
from tidegate.demo.services import KnativeServices

ROWS, KEYS = 6_000, 300
# Several requests, so that a key is in many of them.
LIMITS = BatchLimits(chunk_rows=500)


@pytest.fixture
def halves(workbench: Workbench) -> Iterator[dict[str, str]]:
    """The names of both revisions by their tag, each with half of the traffic."""
    services = KnativeServices(Path(workbench.running.kubeconfig))
    before = services.get(MODEL)["spec"]["traffic"]
    services.set_traffic(MODEL, [{**item, "percent": 50} for item in before])
    yield {item["tag"]: item["revisionName"] for item in before}
    services.set_traffic(MODEL, before)
    services.close()


@pytest.fixture
async def url(workbench: Workbench, halves: dict[str, str]) -> str:
    """The URL of the router, which knows the traffic."""
    found = router(None, workbench.state_dir)
    async with session(timeout_seconds=30) as client, asyncio.timeout(30):
        while await _percents(client, found) != dict.fromkeys(halves.values(), 50):  # noqa: ASYNC110 the router sends no event
            await asyncio.sleep(0.05)
    return found


async def _percents(client: Any, url: str) -> dict[str, int]:
    async with client.get(f"{url}/v2/models") as answer:
        models = (await answer.json())["models"]
    return {arm["revision"]: arm["percent"] for model in models if model["name"] == MODEL for arm in model["arms"]}


class Sink:
    """A receiver of a run's events."""

    def __init__(self) -> None:
        self.url = ""
        self.data: dict[str, Any] = {}

    async def handle(self, request: web.Request) -> web.Response:
        if request.headers["Ce-Type"] == BATCH_COMPLETED:
            self.data = json.loads(await request.read())
        return web.Response(status=202)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    found = Sink()
    app = web.Application()
    app.router.add_post("/", found.handle)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/"))
        yield found


@pytest.fixture
async def older(url: str) -> AsyncIterator[str]:
    """The URL of the router as if it could not split binary tensors: it refuses them with routing keys."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        if "Inference-Header-Content-Length" in request.headers and b'"routing_keys"' in body:
            return web.json_response({"error": "routing_keys need JSON tensors, not binary ones; send the data as JSON."}, status=400)
        sent = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        async with client.request(request.method, f"{url}{request.rel_url}", data=body, headers=sent) as answer:
            headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", handle)
    async with session(timeout_seconds=30, raw=True) as client, TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canary") / "in.parquet"
    tails = np.random.default_rng(3).integers(0, KEYS, ROWS)
    flights_frame(ROWS).assign(tailnum=[f"N{number:05}" for number in tails]).to_parquet(path)
    return path


async def test_keys_are_split_and_each_has_one_revision(url: str, halves: dict[str, str], sink: Sink, dataset: Path) -> None:
    async def scored(name: str, **options: Any) -> pd.DataFrame:
        output = dataset.with_name(f"{name}.parquet")
        request = BatchRequest(model=MODEL, input=str(dataset), output=str(output), run=name, **options)
        await run(request, url=url, limits=LIMITS, sink=sink.url)
        return pd.read_parquet(output)

    split = await scored("split", key="tailnum")
    counts = sink.data["revisions"]
    assert counts == split["revision"].value_counts().to_dict()
    assert set(counts) == set(halves.values())
    assert sink.data["rows"] == sum(counts.values()) == ROWS
    # The assignment depends on keys and names alone, so that each run has the same split.
    assert min(counts.values()) > 0.3 * ROWS
    assert split.groupby("tailnum")["revision"].nunique().eq(1).all()
    output = split.columns[-2]
    alone = {halves[tag]: (await scored(tag, revision=tag))[output] for tag in halves}
    assert not alone[halves["v1"]].equals(alone[halves["v2"]])
    for revision, scores in alone.items():
        mine = split["revision"] == revision
        assert split.loc[mine, output].equals(scores[mine])


async def test_binary_tensors_and_json_have_the_same_rows_rejects_and_revisions(url: str, older: str, dataset: Path) -> None:
    frame = pd.read_parquet(dataset)
    frame.loc[[1_234, 4_567], "carrier"] = None  # the model needs it
    source = dataset.with_name("gaps.parquet")
    frame.to_parquet(source)

    async def scored(name: str, router: str) -> tuple[bytes, bytes, Any]:
        output = dataset.with_name(f"{name}.parquet")
        request = BatchRequest(model=MODEL, input=str(source), output=str(output), key="tailnum", max_rejects=2, run=name)
        summary = await run(request, url=router, limits=LIMITS)
        assert (summary.rows, summary.rejects, len(summary.revisions)) == (ROWS - 2, 2, 2)
        rejects = output.with_name(f"{output.name}.rejects.jsonl").read_bytes()
        return output.read_bytes(), rejects, (summary.digest, summary.revisions)

    assert await scored("binary", url) == await scored("json", older)
