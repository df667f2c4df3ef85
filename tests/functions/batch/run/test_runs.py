from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from common.errors import TidegateError
from functions.batch.client import RetryPolicy
from functions.batch.errors import InvalidPath, InvalidRequest, RunConflict, TooManyRejects, WriteFailed
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.run import publish
from functions.batch.settings import BatchLimits

if TYPE_CHECKING:
    from tests.functions.batch.conftest import FakeModel

LIMITS = BatchLimits(chunk_rows=100, retry=RetryPolicy(total_seconds=2, first_seconds=0.001))


def write(path: Path, first: int = 0, rows: int = 1_000) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"carrier": ["UA"] * rows, "distance": [float(row) for row in range(first, first + rows)]}), path)


@pytest.fixture
def asked(tmp_path: Path) -> BatchRequest:
    write(tmp_path / "in" / "a.parquet")
    return BatchRequest(model="flights", input=str(tmp_path / "in"), output=str(tmp_path / "out"), run="first")


def names_of(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def manifest(request: BatchRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((Path(request.output) / "_manifest.json").read_bytes())
    return found


def refuse(model: FakeModel, *bad: float) -> None:
    """Let the model refuse rows with these distances."""
    score = model.answer

    async def answer(body: dict[str, Any]) -> web.Response:
        distances = next(item["data"] for item in body["inputs"] if item["name"] == "distance")
        if set(bad) & set(distances):
            return web.json_response({"error": "the distance is invalid."}, status=400)
        return await score(body)

    model.answer = answer


async def test_rejected_rows_are_left_out_and_written_with_their_reason(asked: BatchRequest, model: FakeModel, url: str) -> None:
    refuse(model, 7.0, 555.0)
    summary = await run(replace(asked, max_rejects=2), url=url, limits=LIMITS)
    assert (summary.rows, summary.rejects) == (998, 2)
    lines = (Path(asked.output) / "_rejects.jsonl").read_bytes().splitlines()
    reason = "the distance is invalid (status 400)"
    assert [orjson.loads(line) for line in lines] == [
        {"file": "a.parquet", "row": row, "position": f"row {row}", "reason": reason} for row in (7, 555)
    ]
    assert 7.0 not in pq.read_table(asked.output)["distance"].to_pylist()


async def test_run_with_too_many_rejects_fails_and_goes_on_with_a_higher_limit(
    asked: BatchRequest, tmp_path: Path, model: FakeModel, url: str
) -> None:
    refuse(model, 7.0, 555.0)
    with pytest.raises(TooManyRejects, match=r"row 555 of a.parquet cannot be scored: the distance is invalid .*one row may be rejected"):
        await run(replace(asked, max_rejects=1), url=url, limits=LIMITS)
    assert "out" not in names_of(tmp_path)
    assert (await run(replace(asked, max_rejects=2), url=url, limits=LIMITS)).rejects == 2


async def test_broken_line_of_csv_is_rejected_with_its_line(asked: BatchRequest, tmp_path: Path, url: str) -> None:
    (tmp_path / "in.csv").write_text("carrier,distance\n" + "UA,1.5\n" * 10 + "UA,1.5,what\n" + "UA,2\n" * 5)
    request = replace(asked, input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))
    with pytest.raises(TooManyRejects, match=r"line 12 of in.csv cannot be scored"):
        await run(request, url=url, limits=LIMITS)
    summary = await run(replace(request, max_rejects=1), url=url, limits=LIMITS)
    assert (summary.rows, summary.rejects) == (15, 1)
    assert orjson.loads((tmp_path / "out.csv.manifest.json").read_bytes())["files"][0]["rows"] == 16


async def test_pinned_revision_is_named_in_each_request(asked: BatchRequest, model: FakeModel, url: str) -> None:
    named = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        named.add(request.headers.get("Tidegate-Revision"))
        model.handler = None
        try:
            return await model.handle(request)
        finally:
            model.handler = handle

    model.handler = handle
    await run(replace(asked, revision="flights-00002"), url=url, limits=LIMITS)
    assert named == {"flights-00002"}


async def test_manifest_names_input_model_and_parts(asked: BatchRequest, url: str) -> None:
    summary = await run(replace(asked, key="carrier"), url=url, limits=LIMITS)
    found = manifest(asked)
    assert (found["run"], found["model"]["name"], found["digest"]) == ("first", "flights", summary.digest)
    assert found["files"][0]["name"] == "a.parquet"
    assert found["files"][0]["version"].startswith("sha256:")
    assert found["parts"][0]["revisions"] == summary.revisions == {"U": 1_000}
    assert "_SUCCESS" in names_of(asked.output)


async def test_incremental_run_scores_only_new_files(asked: BatchRequest, model: FakeModel, url: str) -> None:
    await run(replace(asked, incremental=True), url=url, limits=LIMITS)
    before = names_of(asked.output)
    write(Path(asked.input) / "A.parquet", first=5_000, rows=10)
    model.requests.clear()
    summary = await run(replace(asked, incremental=True, run="second"), url=url, limits=LIMITS)
    assert sum(len(body["inputs"][1]["data"]) for body in model.requests) == 10
    assert (summary.rows, summary.scored) == (1_010, 10)
    assert pq.read_table(asked.output).num_rows == 1_010
    assert set(before) < set(names_of(asked.output))
    assert [file["name"] for file in manifest(asked)["files"]] == ["a.parquet", "A.parquet"]
    nothing = await run(replace(asked, incremental=True, run="third"), url=url, limits=LIMITS)
    assert (nothing.rows, nothing.scored, nothing.digest) == (1_010, 0, summary.digest)


async def test_incremental_run_refuses_a_changed_file_and_a_single_output_file(asked: BatchRequest, tmp_path: Path, url: str) -> None:
    await run(asked, url=url, limits=LIMITS)
    write(Path(asked.input) / "a.parquet", rows=3)
    with pytest.raises(RunConflict, match=r"a.parquet has changed since it was scored; score everything again with --overwrite"):
        await run(replace(asked, incremental=True, run="second"), url=url, limits=LIMITS)
    with pytest.raises(InvalidRequest, match="name a folder as the output"):
        await run(replace(asked, incremental=True, output=str(tmp_path / "out.parquet")), url=url, limits=LIMITS)


async def test_replaced_output_has_nothing_of_the_old_one(asked: BatchRequest, url: str) -> None:
    write(Path(asked.input) / "b.parquet")
    await run(asked, url=url, limits=LIMITS)
    (Path(asked.input) / "b.parquet").unlink()
    summary = await run(replace(asked, overwrite=True, run="second"), url=url, limits=LIMITS)
    assert summary.rows == pq.read_table(asked.output).num_rows == 1_000
    assert names_of(Path(asked.output).parent) == ["in", "out"]


async def test_unfinished_run_is_not_taken_over_by_another(asked: BatchRequest, model: FakeModel, url: str) -> None:
    refuse(model, 555.0)
    write(Path(asked.input) / "0.parquet", rows=1)  # so that a part is finished
    with pytest.raises(TooManyRejects):
        await run(asked, url=url, limits=LIMITS)
    with pytest.raises(RunConflict, match="belongs to the unfinished run first; go on with it by `tidegate batch resume`"):
        await run(replace(asked, run="second"), url=url, limits=LIMITS)
    write(Path(asked.input) / "a.parquet", rows=3)
    with pytest.raises(RunConflict, match=r"a.parquet has changed since the run began"):
        await run(asked, url=url, limits=LIMITS)
    assert (await run(replace(asked, run="second", overwrite=True), url=url, limits=LIMITS)).rows == 4


async def test_run_that_ended_between_its_file_and_the_manifest_goes_on(asked: BatchRequest, tmp_path: Path, url: str) -> None:
    request = replace(asked, output=f"{asked.output}.parquet")
    in_the_way = tmp_path / "out.parquet.manifest.json"
    in_the_way.mkdir()
    with pytest.raises(WriteFailed, match=r"out.parquet.manifest.json"):
        await run(request, url=url, limits=LIMITS)
    in_the_way.rmdir()
    assert names_of(tmp_path) == ["in", "out.parquet", "out.parquet.tidegate"]
    shutil.copytree(tmp_path / "out.parquet.tidegate", tmp_path / "kept")
    with pytest.raises(InvalidPath, match=r"out.parquet exists already"):
        await run(replace(request, run="second"), url=url, limits=LIMITS)
    summary = await run(request, url=url, limits=LIMITS)
    assert (summary.rows, summary.scored) == (1_000, 0)
    (tmp_path / "kept").rename(tmp_path / "out.parquet.tidegate")  # as if killed after the manifest
    assert (await run(request, url=url, limits=LIMITS)).digest == summary.digest
    assert names_of(tmp_path) == ["in", "out.parquet", "out.parquet.manifest.json"]


async def test_run_that_goes_on_does_not_replace_a_file_of_another(asked: BatchRequest, tmp_path: Path, model: FakeModel, url: str) -> None:
    output = tmp_path / "out.parquet"
    request = replace(asked, output=str(output))
    refuse(model, 555.0)
    write(Path(asked.input) / "0.parquet", rows=1)  # so that a part is finished
    with pytest.raises(TooManyRejects):
        await run(request, url=url, limits=LIMITS)
    output.write_bytes(b"another")
    with pytest.raises(InvalidPath, match=r"out.parquet exists already"):
        await run(replace(request, max_rejects=1), url=url, limits=LIMITS)
    assert output.read_bytes() == b"another"


@pytest.mark.parametrize("output", ["out", "out.parquet"])
async def test_output_that_appears_during_a_run_is_refused_unless_it_is_replaced(
    asked: BatchRequest, tmp_path: Path, model: FakeModel, url: str, output: str
) -> None:
    score, place = model.answer, tmp_path / output
    other = place if "." in output else place / "notes"

    async def answer(body: dict[str, Any]) -> web.Response:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"another")
        return await score(body)

    model.answer = answer
    request = replace(asked, output=str(place))
    with pytest.raises(InvalidPath, match=rf"{output} has appeared since the run began, and is not of it; move it away, then go on"):
        await run(request, url=url, limits=LIMITS)
    assert other.read_bytes() == b"another"
    place.rename(tmp_path / "kept")
    assert (await run(request, url=url, limits=LIMITS)).scored == 0
    assert pq.read_table(place).num_rows == 1_000
    assert (await run(replace(request, run="second", overwrite=True), url=url, limits=LIMITS)).scored == 1_000
    assert pq.read_table(place).num_rows == 1_000


async def test_file_in_place_of_that_of_a_killed_run_is_refused(asked: BatchRequest, tmp_path: Path, url: str) -> None:
    output = tmp_path / "out.parquet"
    request = replace(asked, output=str(output))
    in_the_way = tmp_path / "out.parquet.manifest.json"
    in_the_way.mkdir()
    with pytest.raises(WriteFailed, match=r"out.parquet.manifest.json"):
        await run(request, url=url, limits=LIMITS)
    in_the_way.rmdir()
    own = output.read_bytes()
    output.write_bytes(b"another")
    with pytest.raises(InvalidPath, match=r"out.parquet has appeared since the run began"):
        await run(request, url=url, limits=LIMITS)
    assert output.read_bytes() == b"another"
    output.unlink()
    assert (await run(request, url=url, limits=LIMITS)).scored == 0
    assert output.read_bytes() == own


@pytest.mark.parametrize("again", ["resume", "add"])
async def test_folder_of_a_run_that_was_killed_after_its_renaming_is_cleaned(
    again: str, asked: BatchRequest, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    await run(asked, url=url, limits=LIMITS)
    request = replace(asked, run="second", overwrite=True)
    with monkeypatch.context() as killed:
        killed.delattr(publish, "remove_rest")
        with pytest.raises(NameError):
            await run(request, url=url, limits=LIMITS)
    assert "_tidegate" in names_of(asked.output)
    assert names_of(Path(asked.output).parent) == ["in", "out", "out.tidegate-old"]
    summary = await run(request if again == "resume" else replace(asked, run="third", incremental=True), url=url, limits=LIMITS)
    assert (summary.rows, summary.scored) == (1_000, 0)
    assert names_of(asked.output) == ["_SUCCESS", "_manifest.json", "part-00000-00000.parquet"]
    assert names_of(Path(asked.output).parent) == ["in", "out"]


async def test_resuming_a_complete_run_leaves_the_run_that_adds_to_it(asked: BatchRequest, model: FakeModel, url: str) -> None:
    await run(asked, url=url, limits=LIMITS)
    write(Path(asked.input) / "b.parquet", first=2_000)
    write(Path(asked.input) / "c.parquet", first=3_000)
    refuse(model, 3_500.0)
    added = replace(asked, run="second", incremental=True)
    with pytest.raises(TooManyRejects):
        await run(added, url=url, limits=LIMITS)
    await run(asked, url=url, limits=LIMITS)
    assert (await run(replace(added, max_rejects=1), url=url, limits=LIMITS)).scored == 999


async def test_same_rows_give_the_same_digest_whatever_the_requests(asked: BatchRequest, tmp_path: Path, url: str) -> None:
    digests = set()
    for number, limits in enumerate([LIMITS, replace(LIMITS, chunk_rows=7, in_flight=1), replace(LIMITS, chunk_rows=5_000)]):
        digests.add((await run(replace(asked, output=str(tmp_path / f"out{number}")), url=url, limits=limits)).digest)
    assert len(digests) == 1


class Sink:
    """A sink of events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.status = 200

    async def handle(self, request: web.Request) -> web.Response:
        self.events.append((request.headers["ce-type"], request.headers["ce-id"], await request.json()))
        return web.Response(status=self.status)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def sink_url(sink: Sink) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_post("/", sink.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def test_completion_is_sent_to_the_sink_again_when_the_run_is_asked_again(
    asked: BatchRequest, model: FakeModel, url: str, sink: Sink, sink_url: str
) -> None:
    summary = await run(asked, url=url, limits=LIMITS, sink=sink_url)
    requests = len(model.requests)
    await run(asked, url=url, limits=LIMITS, sink=sink_url)
    assert len(model.requests) == requests
    assert [(type_, id_) for type_, id_, _ in sink.events] == [("dev.tidegate.batch.completed", "first/completed")] * 2
    data = sink.events[0][2]
    assert (data["rows"], data["digest"], data["output"]) == (1_000, summary.digest, asked.output)


async def test_failure_is_sent_to_the_sink(asked: BatchRequest, model: FakeModel, url: str, sink: Sink, sink_url: str) -> None:
    refuse(model, 7.0)
    with pytest.raises(TooManyRejects):
        await run(asked, url=url, limits=LIMITS, sink=sink_url)
    ((type_, _, data),) = sink.events
    assert type_ == "dev.tidegate.batch.failed"
    assert data["error"].startswith("row 7 of a.parquet cannot be scored")


async def test_undelivered_completion_fails_the_attempt_but_not_the_output(
    asked: BatchRequest, url: str, sink: Sink, sink_url: str
) -> None:
    sink.status = 400
    with pytest.raises(TidegateError, match="the output is complete, but its event was not delivered"):
        await run(asked, url=url, limits=LIMITS, sink=sink_url)
    assert pq.read_table(asked.output).num_rows == 1_000
