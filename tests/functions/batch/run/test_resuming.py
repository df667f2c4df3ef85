"""Runs that are killed, go on, and are shared by several processes: with real processes, and a model over HTTP."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from eventing.types import BATCH_REQUESTED
from functions.batch.job import run
from functions.batch.request import BatchRequest
from functions.batch.run.plan import PART_ROWS
from functions.batch.settings import BatchLimits
from tidegate import batch_shards

if TYPE_CHECKING:
    from tests.functions.batch.conftest import FakeModel

ROOT = Path(__file__).parents[4]
ROWS = 8 * PART_ROWS + 1_234
CHUNK = 8_192


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    columns = {"carrier": pa.array(["UA"] * ROWS).dictionary_encode(), "distance": pa.array(range(ROWS), pa.float32())}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=50_000)
    return tmp_path


@pytest.fixture
def quick(model: FakeModel) -> Asked:
    """The requests to the model, which answers in binary without reading the strings."""
    asked = Asked()

    async def handle(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(METADATA)
        body = await request.read()
        head = orjson.loads(body[: int(request.headers["Inference-Header-Content-Length"])])
        (tensor,) = (item for item in head["inputs"] if item["name"] == "distance")
        asked.add(tensor["shape"][0], request.headers.get("Tidegate-Routing-Key"))
        outputs = [
            {"name": "late", "datatype": "FP32", "shape": tensor["shape"], "parameters": {"binary_data_size": 4 * tensor["shape"][0]}}
        ]
        answer = orjson.dumps({"outputs": outputs})
        headers = {"Inference-Header-Content-Length": str(len(answer)), "Tidegate-Revision": "flights-00001"}
        return web.Response(body=answer + body[-4 * tensor["shape"][0] :], headers=headers)

    model.handler = handle
    return asked


METADATA: dict[str, Any] = {
    "inputs": [{"name": "carrier", "datatype": "BYTES", "shape": [-1]}, {"name": "distance", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "late", "datatype": "FP32", "shape": [-1]}],
}


def mount(folder: Path, output: str, **options: Any) -> Path:
    """Write an event as a JobSink mounts it."""
    data = {"model": "flights", "input": str(folder / "in.parquet"), "output": str(folder / output), **options}
    place = folder / f"event-{output}"
    place.mkdir()
    event = {"specversion": "1.0", "id": output, "source": "/t", "type": BATCH_REQUESTED, "data": data}
    (place / "event").write_bytes(orjson.dumps(event))
    return place


async def start(folder: Path, event: Path, url: str, **more: str) -> asyncio.subprocess.Process:
    variables = {"K_EVENT_PATH": str(event), "TIDEGATE_ROUTER_URL": url, "TIDEGATE_BATCH_PATHS": str(folder)}
    environ = {**os.environ, **variables, "TIDEGATE_BATCH_CHUNK_ROWS": str(CHUNK), "TIDEGATE_BATCH_IN_FLIGHT": "2", **more}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.batch", env=environ, stderr=asyncio.subprocess.PIPE)


def manifest_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((output / "_manifest.json").read_bytes())
    return found


class Asked:
    """The requests to a model, for which a test can wait."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.keys: set[str | None] = set()
        self._wanted = 0
        self._reached = asyncio.Event()

    def add(self, rows: int, key: str | None) -> None:
        self.rows.append(rows)
        self.keys.add(key)
        if len(self.rows) >= self._wanted:
            self._reached.set()

    async def more(self, count: int) -> None:
        """Wait for so many further requests."""
        self._wanted = len(self.rows) + count
        self._reached.clear()
        await self._reached.wait()


def names_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_killed_run_goes_on_to_the_same_digest(dataset: Path, quick: Asked, url: str) -> None:
    whole = BatchRequest(model="flights", input=str(dataset / "in.parquet"), output=str(dataset / "whole"), run="whole")
    expected = await run(whole, url=url)
    quick.rows.clear()
    event, seeded, kills = mount(dataset, "out"), random.Random(13), 4  # noqa: S311
    for _ in range(kills):
        process = await start(dataset, event, url)
        await quick.more(seeded.randint(1, 16))
        process.kill()
        await process.communicate()
        assert "out" not in names_of(dataset)
    process = await start(dataset, event, url)
    _, log = await process.communicate()
    assert process.returncode == 0, log
    manifest = manifest_of(dataset / "out")
    assert (manifest["digest"], manifest["rows"]) == (expected.digest, ROWS)
    # The parts that were in progress at each kill: those of the four chunks that are read but not written.
    in_progress = PART_ROWS + 4 * CHUNK
    assert sum(quick.rows) <= ROWS + kills * in_progress
    assert pq.read_table(dataset / "out", columns=["late"])["late"].to_pylist() == list(range(ROWS))
    requests = len(quick.rows)
    again = await start(dataset, event, url)
    assert await again.wait() == 0
    assert len(quick.rows) == requests


async def test_shards_share_a_run_and_one_is_killed(dataset: Path, quick: Asked, url: str) -> None:
    event = mount(dataset, "out", shards=4)
    shards = [await start(dataset, event, url, JOB_COMPLETION_INDEX=str(index), TIDEGATE_BATCH_SHARDS="4") for index in range(4)]
    await quick.more(6)
    shards[2].kill()
    for shard in shards:
        await shard.communicate()
    assert [shard.returncode for shard in shards] == [0, 0, -9, 0]
    assert "out" not in names_of(dataset)
    restarted = await start(dataset, event, url, JOB_COMPLETION_INDEX="2", TIDEGATE_BATCH_SHARDS="4")
    _, log = await restarted.communicate()
    assert restarted.returncode == 0, log
    manifest = manifest_of(dataset / "out")
    assert [part["span"] for part in manifest["parts"]] == list(range(9))
    assert manifest["revisions"] == {"flights-00001": ROWS}
    assert [name for name in names_of(dataset) if name.startswith("out")] == ["out"]


async def tidegate(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tidegate", "batch", *arguments, "--state-dir", str(folder / "state")]
    environ = {**os.environ, "TIDEGATE_BATCH_CHUNK_ROWS": str(CHUNK), "TIDEGATE_BATCH_IN_FLIGHT": "2"}
    return await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def test_command_shares_a_run_among_processes_and_goes_on_with_them(dataset: Path, quick: Asked, url: str) -> None:
    whole = await run(BatchRequest(model="flights", input=str(dataset / "in.parquet"), output=str(dataset / "whole"), run="whole"), url=url)
    options = ["--model", "flights", "--shards", "3", "--url", url]
    command = await tidegate(dataset, str(dataset / "in.parquet"), str(dataset / "out"), *options)
    await quick.more(3)
    command.send_signal(signal.SIGINT)
    _, log = await command.communicate()
    assert command.returncode == 130, log
    assert b"`tidegate batch resume" in log
    assert b"Traceback" not in log
    resumed = await tidegate(dataset, "resume", "--json")
    printed, log = await resumed.communicate()
    assert resumed.returncode == 0, log
    assert (orjson.loads(printed)["digest"], orjson.loads(printed)["rows"]) == (whole.digest, ROWS)
    assert [name for name in names_of(dataset) if name.startswith("out")] == ["out"]
    assert [name for name in names_of(dataset / "out") if not name.startswith("part-")] == ["_SUCCESS", "_manifest.json"]


async def test_complete_run_starts_no_further_processes(dataset: Path, quick: Asked, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = BatchRequest(model="flights", input=str(dataset / "in.parquet"), output=str(dataset / "out"), run="one")
    whole = await run(request, url=url)
    start, started = SpawnProcess.start, 0

    def counted(process: SpawnProcess) -> None:
        nonlocal started
        started += 1
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", counted)
    summary = await asyncio.to_thread(batch_shards.run, request, 3, url, BatchLimits())
    assert (summary.digest, summary.scored, started) == (whole.digest, 0, 1)


async def test_error_of_a_shard_is_one_sentence(dataset: Path, quick: Asked, url: str) -> None:
    options = ["--model", "flights", "--shards", "3", "--url", url, "--columns", "carrier"]
    command = await tidegate(dataset, str(dataset / "in.parquet"), str(dataset / "out"), *options)
    _, log = await command.communicate()
    assert command.returncode == 1
    assert re.fullmatch(r"tidegate: \S*in.parquet lacks the column distance.*\n", log.decode()), log


# A disk of so many bytes, in a mount namespace that ends with the script. It is enlarged when it is full.
FULL_DISK = """
mount -t tmpfs -o size="$1" tmpfs disk
"$2" -m tidegate batch in.parquet "disk/$3" --model flights --url "$4" --state-dir state && exit 1
ls -A disk >left
mount -o remount,size=64m disk
"$2" -m tidegate batch resume --state-dir state && ls -A disk >complete && "$2" -m tidegate batch show "disk/$3" --state-dir state --json
"""


async def on_small_disk(folder: Path, size: str, output: str, url: str) -> tuple[int | None, str, str]:
    """Score on a small disk, and go on when it is larger; return the exit status, and what was printed."""
    (folder / "disk").mkdir()
    script = ["sh", "-c", FULL_DISK, "sh", size, sys.executable, output, url]
    options = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TIDEGATE_BATCH_CHUNK_ROWS": str(CHUNK)}
    started = await asyncio.create_subprocess_exec(
        "unshare", *options, *script, cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, log = await started.communicate()
    return started.returncode, printed.decode(), log.decode()


@pytest.mark.parametrize(
    ("output", "size", "full"),
    [("out", "2m", r"disk/out\.tidegate/\S+"), ("out.parquet", "8m", r"disk/out\.parquet")],
    ids=["while a part is written", "while the file is assembled"],
)
async def test_run_goes_on_when_a_full_disk_has_space(dataset: Path, quick: Asked, url: str, output: str, size: str, full: str) -> None:
    whole = await run(BatchRequest(model="flights", input=str(dataset / "in.parquet"), output=str(dataset / "whole"), run="whole"), url=url)
    quick.rows.clear()
    status, printed, log = await on_small_disk(dataset, size, output, url)
    if status and "unshare failed" in log:
        pytest.skip("a disk cannot be mounted: run as root, or allow user namespaces.")
    assert status == 0, log
    assert re.search(rf"^tidegate: the disk of \S*{full} is full; free space, then go on by `tidegate batch resume`", log, re.MULTILINE), (
        log
    )
    assert (dataset / "left").read_text().split() == [f"{output}.tidegate"]
    assert (dataset / "complete").read_text().split() == sorted({output, f"{output}.manifest.json"} if "." in output else {output})
    shown = orjson.loads(printed.splitlines()[-1])
    assert (shown["rows"], shown["complete"]) == (ROWS, True)
    assert sum(quick.rows) < 2 * ROWS
    if "." not in output:
        assert shown["digest"] == whole.digest


async def test_rows_of_a_part_have_one_routing_key(dataset: Path, quick: Asked, url: str) -> None:
    request = BatchRequest(model="flights", input=str(dataset / "in.parquet"), output=str(dataset / "out"), run="one")
    summary = await run(request, url=url)
    assert quick.keys == {f"in.parquet%3A{span}" for span in range(9)}
    assert summary.revisions == {"flights-00001": ROWS}
