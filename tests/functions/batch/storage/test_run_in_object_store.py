"""Runs whose input and output are in an object store: parts in their place at once, `_SUCCESS` last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from pyarrow import fs

from functions.batch.errors import TooManyRejects
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.run.plan import PART_ROWS

if TYPE_CHECKING:
    from tests.functions.batch.conftest import Model

ROWS = PART_ROWS + 10


def names_in(store: fs.FileSystem, folder: str) -> list[str]:
    found = store.get_file_info(fs.FileSelector(folder, recursive=True))
    return sorted(item.path.removeprefix(f"{folder}/") for item in found if item.type == fs.FileType.File)


@pytest.fixture
def dataset(bucket: fs.FileSystem) -> fs.FileSystem:
    table = pa.table({"carrier": ["UA"] * ROWS, "distance": [float(row) for row in range(ROWS)]})
    pq.write_table(table, "flights-data/in/a.parquet", filesystem=bucket)
    return bucket


async def test_run_goes_on_in_an_object_store_and_success_is_last(dataset: fs.FileSystem, model: Model, url: str) -> None:
    score, is_ill = model.answer, True

    async def answer(body: dict[str, object]) -> web.Response:
        if is_ill and len(body["inputs"][1]["data"]) <= 10:  # type: ignore[index]
            return web.json_response({"error": "no."}, status=400)
        return await score(body)

    model.answer = answer
    request = BatchRequest(model="flights", input="s3://flights-data/in", output="s3://flights-data/out", run="first")
    with pytest.raises(TooManyRejects):
        await run(request, url=url)
    assert "_SUCCESS" not in names_in(dataset, "flights-data/out")
    is_ill = False
    model.requests.clear()
    summary = await run(request, url=url)
    assert (summary.rows, summary.scored, sum(len(body["inputs"][1]["data"]) for body in model.requests)) == (ROWS, 10, 10)
    parts = ["part-00000-00000.parquet", "part-00000-00001.parquet"]
    assert names_in(dataset, "flights-data/out") == ["_SUCCESS", "_manifest.json", *parts]
    with dataset.open_input_stream("flights-data/out/_manifest.json") as file:
        assert orjson.loads(file.read())["digest"] == summary.digest


async def test_file_in_an_object_store_is_put_at_once(dataset: fs.FileSystem, url: str) -> None:
    await run(
        BatchRequest(model="flights", input="s3://flights-data/in/a.parquet", output="s3://flights-data/out.parquet", run="first"), url=url
    )
    assert pq.read_table("flights-data/out.parquet", filesystem=dataset)["late"].to_pylist() == [2.0 * row for row in range(ROWS)]
    assert names_in(dataset, "flights-data") == ["in/a.parquet", "out.parquet", "out.parquet.manifest.json"]
