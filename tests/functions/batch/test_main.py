from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from eventing.types import BATCH_REQUESTED
from functions.batch.__main__ import main

if TYPE_CHECKING:
    from tests.functions.batch.conftest import Model


async def start(folder: Path, url: str, paths: str | None = None, **more: str) -> asyncio.subprocess.Process:
    environ = {**os.environ, "K_EVENT_PATH": str(folder), "TIDEGATE_ROUTER_URL": url, "TIDEGATE_BATCH_PATHS": paths or str(folder), **more}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.batch", env=environ, stderr=asyncio.subprocess.PIPE)


def mount(folder: Path, **changes: str) -> None:
    """Write an event as a JobSink mounts it, and its input file."""
    pq.write_table(pa.table({"carrier": ["UA"], "distance": [1.5]}), folder / "in.parquet")
    data = {"model": "flights", "input": str(folder / "in.parquet"), "output": str(folder / "out.parquet"), **changes}
    (folder / "event").write_bytes(orjson.dumps({"specversion": "1.0", "id": "1", "source": "/t", "type": BATCH_REQUESTED, "data": data}))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_process_scores_the_file_of_the_mounted_event(tmp_path: Path, url: str) -> None:
    mount(tmp_path)
    process = await start(tmp_path, url)
    _, log = await process.communicate()
    assert process.returncode == 0
    assert b"done: 1 rows" in log
    assert pq.read_table(tmp_path / "out.parquet")["late"].to_pylist() == [3.0]


@pytest.mark.parametrize("field", ["input", "output"])
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "s3://bucket/key?endpoint_override=http://secret@attacker.example",
            "the location s3://bucket/key?… has a query",
        ),
        ("/etc/passwd", "/etc/passwd is outside the locations that a batch may use"),
        ("a\0b", "has a NUL character"),
    ],
)
async def test_path_outside_the_allowed_folders_is_refused(
    field: str, path: str, sentence: str, tmp_path: Path, model: Model, url: str
) -> None:
    mount(tmp_path, **{field: path})
    process = await start(tmp_path, url)
    _, log = await process.communicate()
    assert process.returncode == 1
    assert sentence in log.decode()
    assert b"Traceback" not in log
    assert b"attacker" not in log
    assert not model.requests


async def test_sigterm_leaves_no_partial_output(tmp_path: Path, model: Model, url: str) -> None:
    arrived = asyncio.Event()

    async def never(body: dict[str, Any]) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    model.answer = never
    mount(tmp_path)
    process = await start(tmp_path, url)
    await arrived.wait()
    process.terminate()
    _, log = await process.communicate()
    assert process.returncode == 1
    assert b"the next attempt goes on from here" in log
    assert files(tmp_path) == ["event", "in.parquet", "out.parquet.tidegate"]


def test_missing_event_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"K_EVENT_PATH": str(tmp_path)}) == 1
    assert "set K_EVENT_PATH to the folder" in capsys.readouterr().err


async def test_limits_are_read_from_the_environment(tmp_path: Path, model: Model, url: str) -> None:
    mount(tmp_path)
    pq.write_table(pa.table({"carrier": ["UA"] * 5, "distance": [1.5] * 5}), tmp_path / "in.parquet")
    process = await start(tmp_path, url, TIDEGATE_BATCH_CHUNK_ROWS="2", TIDEGATE_BATCH_IN_FLIGHT="1")
    _, log = await process.communicate()
    assert process.returncode == 0, log
    assert [request["inputs"][0]["shape"] for request in model.requests] == [[2], [2], [1]]
