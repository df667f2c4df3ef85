"""Batches through a real model function that has too little room, or that is restarted meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from common.http_client import session
from functions.batch.job import Progress, run
from functions.batch.request import BatchRequest
from functions.batch.settings import BatchLimits

FEATURES, ROWS = [f"f{index}" for index in range(20)], 40_000
# Many requests in little time; they overlap, since more than one is in flight from the beginning.
LIMITS = BatchLimits(chunk_rows=2_000, in_flight=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a dataset."""
    folder = tmp_path_factory.mktemp("real")
    rows = np.random.default_rng(0).random((ROWS, len(FEATURES)), np.float32)
    xgb.train({"max_depth": 6}, xgb.DMatrix(rows[:1_000], rows[:1_000, 3], feature_names=FEATURES), 50).save_model(folder / "small.ubj")
    pq.write_table(pa.table({name: rows[:, index] for index, name in enumerate(FEATURES)}), folder / "in.parquet")
    return folder


class Function:
    """A process of the model function, which can be killed and started again at its port."""

    def __init__(self, model: Path, **variables: str) -> None:
        self._environ = {**os.environ, "TIDEGATE_MODEL": str(model), "TIDEGATE_HOST": "127.0.0.1", **variables}
        self._port = "0"
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "functions.flights", env={**self._environ, "PORT": self._port}, stderr=asyncio.subprocess.PIPE
        )
        assert self.process.stderr
        async for line in self.process.stderr:
            if found := re.search(rb"on port (\d+)", line):
                self._port = found[1].decode()
                return
        raise AssertionError("the function did not start")

    async def kill(self) -> None:
        assert self.process
        self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def served(data: Path, **variables: str) -> AsyncIterator[Function]:
    function = Function(data / "small.ubj", **variables)
    await function.start()
    try:
        yield function
    finally:
        await function.kill()


def request_of(data: Path, output: str) -> BatchRequest:
    return BatchRequest(model="small", input=str(data / "in.parquet"), output=str(data / output), run=output)


def check(data: Path, output: str) -> None:
    """Compare the output with the library's own scores."""
    table = pq.read_table(data / output)
    rows = np.column_stack([table[name].to_numpy() for name in FEATURES])
    expected = xgb.Booster(model_file=data / "small.ubj").predict(xgb.DMatrix(rows, feature_names=FEATURES))
    assert table.num_rows == ROWS
    assert table[table.schema.names[-1]].to_numpy().tobytes() == expected.tobytes()


def shrinks(in_flight: list[int]) -> bool:
    return any(later < earlier for earlier, later in pairwise([2, *in_flight]))


async def statuses(url: str) -> set[str]:
    """The statuses that the function has answered with."""
    async with session(timeout_seconds=10) as client, client.get(f"{url}/metrics") as answer:
        return set(re.findall(r'tidegate_requests_total\{code="(\d+)"', await answer.text()))


@pytest.mark.parametrize(
    "variables", [{"TIDEGATE_MAX_WAITING_REQUESTS": "1"}, {"TIDEGATE_MAX_WAITING_ROWS": "2500"}], ids=["requests", "rows"]
)
async def test_function_with_too_little_room_gets_fewer_requests_at_once(data: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    seen: list[Progress] = []
    output = str(tmp_path / "out")
    async with served(data, **variables) as function:
        summary = await run(request_of(data, output), url=function.url, progress=seen.append, limits=LIMITS)
        assert "429" in await statuses(function.url)
    assert summary.rows == summary.scored == ROWS
    assert shrinks([item.in_flight for item in seen])
    check(data, output)


async def test_function_that_is_killed_and_comes_back_scores_the_rest(data: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    output = str(tmp_path / "out")
    begun = asyncio.Event()

    def progress(now: Progress) -> None:
        seen.append(now)
        begun.set()

    async with served(data) as function:
        running = asyncio.create_task(run(request_of(data, output), url=function.url, progress=progress, limits=LIMITS))
        await begun.wait()
        await function.kill()
        assert not running.done()
        await function.start()
        summary = await running
    assert summary.rows == ROWS
    assert shrinks([item.in_flight for item in seen])
    check(data, output)
