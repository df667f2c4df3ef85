"""Batches through a real model function: the outputs equal the library's for every encoding of the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from common.http_client import session
from functions.batch.client import Client, RetryPolicy
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.signature import inputs_in, parse
from functions.batch.tensors import Body, decode, encode
from tests.fixtures.frames import served

WIDE = 300


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 300 features, with gaps in its data."""
    names = [f"feature_{index}" for index in range(WIDE)]
    rows = np.random.default_rng(0).random((500, WIDE))
    rows[rows < 0.05] = np.nan
    path = tmp_path_factory.mktemp("model") / "wide.ubj"
    xgb.train({"max_depth": 3}, xgb.DMatrix(rows, np.nan_to_num(rows[:, 3]), feature_names=names), 5).save_model(path)
    return path


@pytest.fixture
def function(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a function that serves the test's model."""
    model: Path = request.getfixturevalue(request.param) if isinstance(request.param, str) else request.param
    with served(model) as url:
        yield url


@pytest.fixture
async def client(function: str) -> AsyncIterator[Client]:
    async with session(timeout_seconds=60, raw=True) as opened:
        yield Client(function, opened, RetryPolicy(total_seconds=5))


@pytest.mark.parametrize("function", ["wide"], indirect=True)
async def test_hundreds_of_columns_are_scored_to_the_bit(wide: Path, function: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).random((3_000, WIDE))
    rows[rows < 0.05] = np.nan
    names = [f"feature_{index}" for index in range(WIDE)]
    pq.write_table(pa.table({name: rows[:, index] for index, name in enumerate(names)}), tmp_path / "in.parquet")
    request = BatchRequest(model="wide", input=str(tmp_path / "in.parquet"), output=str(tmp_path / "out.parquet"))
    assert (await run(request, url=function)).rows == 3_000
    expected = xgb.Booster(model_file=wide).predict(xgb.DMatrix(rows, feature_names=names))
    scored = pq.read_table(request.output)
    assert scored[scored.schema.names[-1]].to_numpy().tobytes() == expected.tobytes()


@pytest.fixture(scope="session")
def flights(flights_models: Path) -> Path:
    return flights_models / "v1"


@pytest.mark.parametrize("function", ["flights"], indirect=True)
async def test_binary_tensors_are_scored_like_json(function: str, client: Client) -> None:
    random = np.random.default_rng(2)
    count = 200
    batch = pa.RecordBatch.from_pydict(
        {
            "carrier": pa.array(["UA", "DL"] * (count // 2)).dictionary_encode(),
            "origin": ["EWR", "JFK"] * (count // 2),
            "dest": ["IAH"] * count,
            "scheduled_departure": ["2013-11-01T05:15"] * count,
            "scheduled_arrival": ["2013-11-01T08:19"] * count,
            "distance": random.uniform(100, 3000, count),
            "temp": pa.array([None if value < 0.3 else value * 100 for value in random.random(count)]),
            "precip": pa.array(random.random(count), pa.float32()),
            "aircraft_year": pa.array([None if row % 3 else 1990 + row % 20 for row in range(count)], pa.int16()),
            "aircraft_seats": pa.array([150 + row for row in range(count)], pa.int64()),
            "aircraft_manufacturer": [None if row % 5 == 0 else "BOEING" for row in range(count)],
        }
    ).slice(7, 150)
    signature = parse(await client.call("GET", "/v2/models/flights"))
    inputs = inputs_in(signature, batch.schema, None, "in.parquet")

    async def scored(body: Body) -> list[list[float]]:
        answer = await client.exchange("POST", "/v2/models/flights/infer", body.content, body.headers)
        length = answer.headers.get("Inference-Header-Content-Length")
        columns = decode(answer.content, signature.outputs, batch.num_rows, routed=False, json_length=int(length) if length else None)
        return [column.to_pylist() for column in columns]

    as_binary, as_json = encode(batch, inputs, None, 0), encode(batch, inputs, None, 0, binary=False)
    assert as_binary.json_length is not None
    assert as_json.json_length is None
    assert await scored(as_binary) == await scored(as_json)
