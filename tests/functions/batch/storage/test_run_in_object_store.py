"""Runs whose input and output are in an object store: parts in their place at once, `_SUCCESS` last."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from functions.batch.errors import InvalidPath, TooManyRejects
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.run.plan import PART_ROWS
from tests.functions.batch.storage.servers import BUCKET, Bucket

if TYPE_CHECKING:
    from tests.functions.batch.conftest import FakeModel

ROWS = PART_ROWS + 10
PARTS = ["part-00000-00000.parquet", "part-00000-00001.parquet"]


@pytest.fixture
def dataset(bucket: Bucket) -> Bucket:
    table = pa.table({"carrier": ["UA"] * ROWS, "distance": [float(row) for row in range(ROWS)]})
    pq.write_table(table, f"{BUCKET}/in/a.parquet", filesystem=bucket.files)
    return bucket


def request_of(bucket: Bucket, output: str = "out", **options: object) -> BatchRequest:
    return BatchRequest(model="flights", input=bucket.uri("in"), output=bucket.uri(output), run="first", **options)  # type: ignore[arg-type]


async def test_run_goes_on_in_an_object_store_and_success_is_last(dataset: Bucket, model: FakeModel, url: str) -> None:
    score, is_ill = model.answer, True

    async def answer(body: dict[str, object]) -> web.Response:
        if is_ill and len(body["inputs"][1]["data"]) <= 10:  # type: ignore[index]
            return web.json_response({"error": "no."}, status=400)
        return await score(body)

    model.answer = answer
    with pytest.raises(TooManyRejects):
        await run(request_of(dataset), url=url)
    assert "_SUCCESS" not in dataset.names("out")
    is_ill = False
    model.requests.clear()
    summary = await run(request_of(dataset), url=url)
    assert (summary.rows, summary.scored, sum(len(body["inputs"][1]["data"]) for body in model.requests)) == (ROWS, 10, 10)
    assert dataset.names("out") == ["_SUCCESS", "_manifest.json", *PARTS]
    assert orjson.loads(dataset.get("out/_manifest.json"))["digest"] == summary.digest


async def test_file_in_an_object_store_is_put_at_once(dataset: Bucket, url: str) -> None:
    await run(request_of(dataset, "out.parquet"), url=url)
    scored = pq.read_table(f"{BUCKET}/out.parquet", filesystem=dataset.files)
    assert scored["late"].to_pylist() == [2.0 * row for row in range(ROWS)]
    assert dataset.names() == ["in/a.parquet", "out.parquet", "out.parquet.manifest.json"]


async def test_object_in_place_of_the_output_is_refused(dataset: Bucket, model: FakeModel, url: str) -> None:
    score = model.answer

    async def answer(body: dict[str, object]) -> web.Response:
        dataset.put("out.parquet", b"another")
        return await score(body)

    model.answer = answer
    with pytest.raises(InvalidPath, match=rf"{dataset.uri('out.parquet')} has appeared since the run began, and is not of it"):
        await run(request_of(dataset, "out.parquet"), url=url)
    assert dataset.get("out.parquet") == b"another"
    dataset.files.delete_file(f"{BUCKET}/out.parquet")
    assert (await run(request_of(dataset, "out.parquet"), url=url)).scored == 0


async def test_output_that_exists_is_refused_unless_it_is_replaced(dataset: Bucket, url: str) -> None:
    dataset.put("out/_SUCCESS", b"")
    dataset.put("out/part-00007-00000.parquet", b"of an earlier output")
    with pytest.raises(InvalidPath, match=rf"the output {dataset.uri('out')} exists already; choose another name, or overwrite it"):
        await run(request_of(dataset), url=url)
    await run(request_of(dataset, overwrite=True), url=url)
    assert dataset.names("out") == ["_SUCCESS", "_manifest.json", *PARTS]


async def test_upload_that_was_killed_is_done_again(dataset: Bucket, url: str) -> None:
    """An object in Azure is empty from the beginning of its upload, and stays so when the process is killed."""
    for key in ("_tidegate/run.json", "_tidegate/entries/part-00000-00000.json", "part-00000-00000.parquet", "_manifest.json"):
        dataset.put(f"out/{key}", b"")
    assert (await run(request_of(dataset), url=url)).rows == ROWS
    assert dataset.names("out") == ["_SUCCESS", "_manifest.json", *PARTS]
    scored = [pq.read_table(f"{BUCKET}/out/{name}", filesystem=dataset.files)["late"].to_pylist() for name in PARTS]
    assert [value for part in scored for value in part] == [2.0 * row for row in range(ROWS)]


async def tidegate(folder: Path, url: str, *arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tidegate", *arguments, "--url", url, "--state-dir", str(folder)]
    return await asyncio.create_subprocess_exec(
        *command, env={**os.environ}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def test_killed_command_is_resumed_to_the_same_digest(dataset: Bucket, model: FakeModel, url: str, tmp_path: Path) -> None:
    whole = await run(request_of(dataset, "whole"), url=url)
    model.requests.clear()
    reached, score = asyncio.Event(), model.answer

    async def answer(body: dict[str, object]) -> web.Response:
        if len(body["inputs"][1]["data"]) > 10:  # type: ignore[index]
            return await score(body)
        reached.set()  # the last rows: the first part is written while they wait
        await asyncio.Event().wait()
        raise AssertionError

    model.answer = answer
    command = await tidegate(tmp_path, url, "batch", dataset.uri("in/*.parquet"), dataset.uri("out"), "--model", "flights")
    await reached.wait()
    await asyncio.to_thread(wait_for, dataset, "out/_tidegate/entries/part-00000-00000.json")
    command.kill()
    await command.communicate()
    assert "_SUCCESS" not in dataset.names("out")
    model.answer = score
    model.requests.clear()
    resumed = await tidegate(tmp_path, url, "batch", "resume", "--json")
    printed, log = await resumed.communicate()
    assert resumed.returncode == 0, log
    assert orjson.loads(printed)["digest"] == whole.digest
    assert sum(len(body["inputs"][1]["data"]) for body in model.requests) == 10
    assert dataset.names("out") == ["_SUCCESS", "_manifest.json", *PARTS]


def wait_for(bucket: Bucket, key: str) -> None:
    """Wait until an object is complete: in Azure it is empty before."""
    while not bucket.files.get_file_info(f"{BUCKET}/{key}").size:
        sleep(0.05)
