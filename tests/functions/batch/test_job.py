from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from common.errors import TidegateError
from functions.batch.client import Refused, RetryPolicy
from functions.batch.errors import InvalidDataset, InvalidPath, TooManyRejects
from functions.batch.job import Progress, run
from functions.batch.request import BatchRequest
from functions.batch.settings import BatchLimits
from functions.batch.signature import Input, Signature, inputs_in
from functions.batch.tensors import encode
from functions.runtime.errors import Unreachable

if TYPE_CHECKING:
    from tests.functions.batch.conftest import FakeModel

ROWS = 2_345
QUICK = BatchLimits(chunk_rows=100, retry=RetryPolicy(total_seconds=30, first_seconds=0.001))


def table(rows: int = ROWS, **columns: Any) -> pa.Table:
    plain = {
        "id": list(range(rows)),
        "carrier": ["UA" if row % 2 else "DL" for row in range(rows)],
        "distance": [float(row) for row in range(rows)],
        "seats": pa.array([None if row % 3 else row for row in range(rows)], pa.int64()),
        "tailnum": pa.array([None if row % 7 == 0 else f"N{row}" for row in range(rows)], pa.string()),
    }
    return pa.table({name: column for name, column in (plain | columns).items() if column is not None})


@pytest.fixture
def request_(tmp_path: Path) -> BatchRequest:
    pq.write_table(table(), tmp_path / "in.parquet", row_group_size=300)
    return BatchRequest(model="flights", input=str(tmp_path / "in.parquet"), output=str(tmp_path / "out.parquet"))


def files(request: BatchRequest) -> list[str]:
    return sorted(path.name for path in Path(request.output).parent.iterdir())


async def test_file_is_scored_in_order(request_: BatchRequest, url: str) -> None:
    seen: list[Progress] = []
    summary = await run(request_, url=url, progress=seen.append, limits=QUICK)
    scored = pq.read_table(request_.output)
    assert scored.drop_columns(["late"]).equals(table())
    assert scored["late"].to_pylist() == [2.0 * row for row in range(ROWS)]
    assert scored.schema.field("late").type == pa.float32()
    assert (summary.rows, summary.revisions) == (ROWS, {})
    assert [(item.rows, item.total_rows) for item in seen][-1] == (ROWS, ROWS)
    assert [item.rows for item in seen] == sorted(item.rows for item in seen)


async def test_key_column_routes_each_row(request_: BatchRequest, model: FakeModel, url: str) -> None:
    keyed = BatchRequest(model="flights", input=request_.input, output=request_.output, key="tailnum")
    summary = await run(keyed, url=url, limits=QUICK)
    # A row without a key gets one by its index in the file.
    assert {key for body in model.requests for key in body["parameters"]["routing_keys"]} >= {"row 0", "N1", "row 2303", "N2304"}
    assert pq.read_table(request_.output)["revision"].to_pylist() == ["r" if row % 7 == 0 else "N" for row in range(ROWS)]
    assert summary.revisions == {"r": 335, "N": 2010}


# Doubles stay doubles, for the model to round; integers with nulls become doubles in binary tensors, with NaN for null.
@pytest.mark.parametrize(("status", "number", "whole"), [(400, "FP32", "INT32"), (None, "FP64", "FP64")])
@pytest.mark.parametrize("key", [None, "tailnum"])
async def test_request_has_one_tensor_for_each_column(
    key: str | None, status: int | None, number: str, whole: str, request_: BatchRequest, model: FakeModel, url: str
) -> None:
    model.binary_status = status
    await run(replace(request_, key=key), url=url, limits=QUICK)
    first = next(body for body in model.requests if body["inputs"][1]["data"][0] == 1200)
    assert [(item["name"], item["datatype"], item["shape"], item["data"][:4]) for item in first["inputs"]] == [
        ("carrier", "BYTES", [100], ["DL", "UA", "DL", "UA"]),
        ("distance", number, [100], [1200.0, 1201.0, 1202.0, 1203.0]),
        ("seats", whole, [100], [1200, None, None, 1203]),
    ]
    assert ["binary_data_size" in item.get("parameters", {}) for item in first["inputs"]] == [False, status is None, status is None]


@pytest.mark.parametrize("status", [400, 415, 422])
@pytest.mark.parametrize("key", [None, "tailnum"])
async def test_router_or_model_without_binary_tensors_gets_json(
    key: str | None, status: int, request_: BatchRequest, model: FakeModel, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    score = model.answer

    async def answer(body: dict[str, Any]) -> web.Response:
        if 500.0 in body["inputs"][1]["data"]:
            return web.json_response({"error": "the carrier ZZ is unknown."}, status=422)
        return await score(body)

    model.answer = answer
    expected = await run(replace(request_, key=key, max_rejects=1, run="binary"), url=url, limits=QUICK)
    before = output_of(request_)
    assert not caplog.messages
    model.binary_status, model.binary_requests = status, 0
    found = await run(replace(request_, key=key, max_rejects=1, run="json", overwrite=True), url=url, limits=QUICK)
    assert (found.digest, found.rows, found.rejects) == (expected.digest, ROWS - 1, 1)
    assert found.revisions == expected.revisions
    assert output_of(request_) == before
    # Each of the first chunks, which are read four at a time, is narrowed down to one row.
    assert model.binary_requests <= 4 * 8
    assert caplog.messages == ["rows are sent as JSON, which takes longer: binary tensors are refused for the model flights"]


def output_of(request: BatchRequest) -> tuple[bytes, bytes]:
    """The rows and the rejects of a run."""
    return Path(request.output).read_bytes(), Path(f"{request.output}.rejects.jsonl").read_bytes()


async def test_empty_file_gives_an_empty_file(request_: BatchRequest, url: str) -> None:
    pq.write_table(table(0), request_.input)
    assert (await run(request_, url=url)).rows == 0
    assert pq.read_table(request_.output).schema.names[-1] == "late"


async def test_requests_in_flight_are_bounded(request_: BatchRequest, model: FakeModel, url: str) -> None:
    now, most, score, full = 0, 0, model.answer, asyncio.Event()

    async def answer(body: dict[str, Any]) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 2:
            full.set()
        await full.wait()
        now -= 1
        return await score(body)

    model.answer = answer
    await run(request_, url=url, limits=replace(QUICK, in_flight=2))
    assert most == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_temporary_failure_is_retried(status: int, request_: BatchRequest, model: FakeModel, url: str) -> None:
    model.failures = [web.json_response({"error": "not yet"}, status=status) for _ in range(5)]
    assert (await run(request_, url=url, limits=QUICK)).rows == ROWS


async def test_refused_request_ends_the_job_without_output(request_: BatchRequest, model: FakeModel, url: str) -> None:
    score = model.answer

    async def answer(body: dict[str, Any]) -> web.Response:
        if 500.0 in body["inputs"][1]["data"]:
            return web.json_response({"error": "the carrier ZZ is unknown."}, status=400)
        return await score(body)

    model.answer = answer
    with pytest.raises(
        TooManyRejects, match=r"row 500 of in.parquet cannot be scored: the carrier ZZ is unknown \(status 400\) \(no row may"
    ):
        await run(request_, url=url, limits=QUICK)
    assert files(request_) == ["in.parquet"]


async def test_interruption_leaves_no_output(request_: BatchRequest, model: FakeModel, url: str) -> None:
    arrived = asyncio.Event()

    async def answer(body: dict[str, Any]) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    model.answer = answer
    task = asyncio.create_task(run(request_, url=url, limits=QUICK))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(request_) == ["in.parquet", "out.parquet.tidegate"]


def too_large(model: FakeModel, most: int) -> None:
    """Return a response function of a model that accepts so many rows."""
    score = model.answer

    async def answer(body: dict[str, Any]) -> web.Response:
        if len(body["inputs"][0]["data"]) > most:
            return web.json_response({"error": f"at most {most} rows fit."}, status=413)
        return await score(body)

    model.answer = answer


@pytest.mark.parametrize("key", [None, "tailnum"])
async def test_too_large_request_is_halved_and_the_next_are_smaller(
    key: str | None, request_: BatchRequest, model: FakeModel, url: str
) -> None:
    too_large(model, 30)
    await run(replace(request_, key=key), url=url, limits=QUICK)
    scored = pq.read_table(request_.output)
    assert scored.drop_columns(["late", "revision"] if key else ["late"]).equals(table())
    assert scored["late"].to_pylist() == [2.0 * row for row in range(ROWS)]
    # Each of the first requests, as many as are in flight, is too large twice.
    assert sum(len(body["inputs"][0]["data"]) > 30 for body in model.requests) <= 3 * QUICK.in_flight
    if key:
        assert scored["revision"].to_pylist() == ["r" if row % 7 == 0 else "N" for row in range(ROWS)]


async def test_too_large_row_is_named(request_: BatchRequest, model: FakeModel, url: str) -> None:
    too_large(model, 0)
    with pytest.raises(TooManyRejects, match=r"row 0 of in.parquet cannot be scored: at most 0 rows fit \(status 413\)"):
        await run(request_, url=url, limits=QUICK)
    assert files(request_) == ["in.parquet"]


@pytest.mark.parametrize("key", [None, "tailnum"])
async def test_request_has_bounded_bytes(key: str | None, request_: BatchRequest, model: FakeModel, url: str) -> None:
    pq.write_table(table(2_000, carrier=["x" * 10_000] * 2_000), request_.input)
    await run(replace(request_, key=key), url=url)
    sizes = [sum(map(len, body["inputs"][0]["data"])) for body in model.requests]
    assert sum(sizes) == 20_000_000
    assert 2**20 < max(sizes) < 3 * 2**20


async def test_retries_end(request_: BatchRequest) -> None:
    limits = BatchLimits(retry=RetryPolicy(total_seconds=0.01, first_seconds=0.001))
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 did not answer in 0\.01 s .*; check that it is running"):
        await run(request_, url="http://127.0.0.1:1", limits=limits)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"distance": None, "carrier": None}, "lacks the columns carrier, distance; rename or add columns"),
        ({"distance": None, "Distances": [1.0]}, r"lacks the column distance \(Distances looks like distance\); rename or add columns"),
        ({"distance": ["far"]}, r"the column distance of .* is string, but the model takes numbers \(FP32\); convert the column"),
        ({"carrier": [7]}, r"the column carrier of .* is int64, but the model takes strings \(BYTES\)"),
        ({"late": [1.0]}, "has the column late, the name of an output of the model; rename or drop it"),
    ],
)
async def test_unfit_file_is_refused_before_a_request(
    columns: dict[str, Any], message: str, request_: BatchRequest, model: FakeModel, url: str
) -> None:
    pq.write_table(table(1, **columns), request_.input)
    with pytest.raises(InvalidDataset, match=message):
        await run(request_, url=url)
    assert not model.requests
    assert files(request_) == ["in.parquet"]


async def test_unfit_value_is_refused(request_: BatchRequest, url: str) -> None:
    pq.write_table(table(1, seats=[1.5]), request_.input)
    with pytest.raises(TooManyRejects, match="the column seats has a value that is not INT32"):
        await run(request_, url=url)
    pq.write_table(table(1, distance=[float("inf")]), request_.input)
    with pytest.raises(TooManyRejects, match="the column distance has an infinite value"):
        await run(request_, url=url)


async def test_integers_stored_as_floats_with_gaps_are_scored(request_: BatchRequest, model: FakeModel, url: str) -> None:
    pq.write_table(table(3, seats=[1.0, None, float("nan")]), request_.input)
    await run(request_, url=url)
    assert model.requests[0]["inputs"][2]["data"] == [1, None, None]


@pytest.mark.parametrize("column", [[[1], [2]], [b"\xff", b"a"]])
async def test_unsupported_key_column_is_refused_before_a_request(
    column: list[Any], request_: BatchRequest, model: FakeModel, url: str
) -> None:
    pq.write_table(table(2, where=column), request_.input)
    with pytest.raises(InvalidDataset, match=r"the column where of .* is .*, which cannot be a routing key; name a column of strings"):
        await run(BatchRequest(model="flights", input=request_.input, output=request_.output, key="where"), url=url)
    assert not model.requests


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([1, 2], pa.int8()), ["1", "2"]),
        (pa.array([1, 2], pa.float16()), ["1", "2"]),
        (pa.array([Decimal("1.0"), Decimal("0.10")]), ["1", "0.1"]),
        (pa.array([1, 2], pa.date32()), ["1970-01-02", "1970-01-03"]),
        (pa.array([1, 2], pa.timestamp("s", "UTC")), ["1970-01-01T00:00:01+00:00", "1970-01-01T00:00:02+00:00"]),
        (pa.array([1, 1_000_000_001], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001", "1970-01-01T00:00:01.000000001"]),
        (pa.array([True, None]), ["true", "row 1"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([1, 2], pa.timestamp("s")).dictionary_encode(), ["1970-01-01T00:00:01", "1970-01-01T00:00:02"]),
        (pa.nulls(2), ["row 0", "row 1"]),
    ],
)
def test_keys_are_canonical_strings(column: pa.Array, keys: list[str]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0, 2.0]), column], ["distance", "where"])
    signature = Signature((Input("distance", "FP32", optional=False),), ())
    inputs = inputs_in(signature, batch.schema, "where", "in.parquet")
    body = encode(batch, inputs, "where", 0)
    assert orjson.loads(body.content[: body.json_length])["parameters"]["routing_keys"] == keys


async def test_compressed_response_is_read(request_: BatchRequest, model: FakeModel, url: str) -> None:
    score = model.answer

    async def answer(body: dict[str, Any]) -> web.Response:
        response = await score(body)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    model.answer = answer
    assert (await run(request_, url=url, limits=QUICK)).rows == ROWS


async def test_fault_of_the_model_is_not_retried(request_: BatchRequest, model: FakeModel, url: str) -> None:
    model.failures = [web.json_response({"error": "this is a fault"}, status=500)]
    with pytest.raises(Refused, match="this is a fault"):
        await run(request_, url=url, limits=QUICK)


async def test_missing_key_column_is_refused(request_: BatchRequest, url: str) -> None:
    with pytest.raises(InvalidDataset, match=r"lacks the column tailno \(tailnum looks like tailno\)"):
        await run(BatchRequest(model="flights", input=request_.input, output=request_.output, key="tailno"), url=url)


async def test_existing_output_is_kept_without_overwrite(request_: BatchRequest, tmp_path: Path, url: str) -> None:
    (tmp_path / "out.parquet").write_text("precious")
    with pytest.raises(InvalidPath, match="exists already"):
        await run(request_, url=url)
    assert (tmp_path / "out.parquet").read_text() == "precious"
    await run(BatchRequest(model="flights", input=request_.input, output=request_.output, overwrite=True), url=url)
    assert pq.read_table(request_.output).num_rows == ROWS


async def test_other_or_missing_file_is_refused(request_: BatchRequest, tmp_path: Path, url: str) -> None:
    (tmp_path / "in.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidDataset, match="is not a Parquet file"):
        await run(request_, url=url)
    with pytest.raises(InvalidPath, match=r"no\.parquet not found"):
        await run(BatchRequest(model="flights", input=str(tmp_path / "no.parquet"), output=request_.output), url=url)
    with pytest.raises(InvalidPath, match=r"folder .*/no of the output not found"):
        await run(BatchRequest(model="flights", input=request_.input, output=str(tmp_path / "no" / "out.parquet")), url=url)


@pytest.mark.parametrize("outputs", [[], [{"name": "late", "data": [1.0, 2.0]}], [{"name": "late", "data": ["x"]}], "late"])
async def test_invalid_response_is_refused(outputs: Any, request_: BatchRequest, model: FakeModel, url: str) -> None:
    async def answer(body: dict[str, Any]) -> web.Response:
        return web.json_response({"outputs": outputs})

    model.answer = answer
    pq.write_table(table(1), request_.input)
    with pytest.raises(TidegateError, match=r"the model's response|the model returned"):
        await run(request_, url=url)
