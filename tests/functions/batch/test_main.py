from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import tzset
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from eventing.event import Event
from eventing.types import BATCH_REQUESTED
from functions.batch.__main__ import main, request_of
from functions.batch.job import BatchRequest
from functions.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from tests.functions.batch.conftest import Model


def event(data: Any, type_: str = BATCH_REQUESTED, **more: str) -> Event:
    return Event({"specversion": "1.0", "id": "1", "source": "/test", "type": type_, **more}, data)


def test_an_event_says_what_to_do() -> None:
    assert request_of(event({"model": "m", "input": "i", "output": "o"})) == BatchRequest("m", "i", "o")
    assert request_of(event({"model": "m", "input": "i", "output": "o", "key": "k"})) == BatchRequest("m", "i", "o", "k")


def test_a_schedule_names_files_by_the_day_of_its_event() -> None:
    data = {"model": "m", "input": "in-{yesterday}.parquet", "output": "out-{date}.parquet"}
    asked = event(data, "dev.knative.sources.ping", time="2026-03-01T01:30:00+02:00")
    assert request_of(asked) == BatchRequest("m", "in-2026-02-27.parquet", "out-2026-02-28.parquet")


@pytest.mark.parametrize(
    ("time", "day", "before"),
    [
        ("2024-03-01T00:00:00.272531213Z", "2024-03-01", "2024-02-29"),
        ("2024-03-01T00:00:00+00:01", "2024-02-29", "2024-02-28"),
        ("2025-12-31T23:59:59-00:01", "2026-01-01", "2025-12-31"),
        ("2026-03-29T02:30:00", "2026-03-29", "2026-03-28"),
    ],
)
def test_a_day_is_utc_s_whatever_the_time_of_the_machine(monkeypatch: pytest.MonkeyPatch, time: str, day: str, before: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        tzset()
        asked = request_of(event({"model": "m", "input": "{yesterday}", "output": "{date}"}, time=time))
    tzset()
    assert asked == BatchRequest("m", before, day)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (event({"model": "m", "input": "{date}", "output": "o"}), "the event has no time"),
        (event({"model": "m", "input": "{date}", "output": "o"}, time="noon"), "the event has the time 'noon', which is none"),
        (event({"model": "m", "input": "{yesterday}", "output": "o"}, time="0001-01-01T00:00:00Z"), "which is none"),
        (event({}, "other"), "the event's type is other"),
        (event([]), "no JSON object"),
        (event({"model": "m", "output": 7}), "needs input, output as a text"),
        (event({"model": "m", "input": "i", "output": "o", "key": 1}), "needs key as a text"),
    ],
)
def test_an_event_that_does_not_say_it_is_refused(asked: Event, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request_of(asked)


async def start(folder: Path, url: str, paths: str | None = None) -> asyncio.subprocess.Process:
    environ = {**os.environ, "K_EVENT_PATH": str(folder), "TIDEGATE_ROUTER_URL": url, "TIDEGATE_BATCH_PATHS": paths or str(folder)}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.batch", env=environ, stderr=asyncio.subprocess.PIPE)


def mount(folder: Path, **changes: str) -> None:
    """An event as a JobSink mounts it, and the file that it names."""
    pq.write_table(pa.table({"carrier": ["UA"], "distance": [1.5]}), folder / "in.parquet")
    data = {"model": "flights", "input": str(folder / "in.parquet"), "output": str(folder / "out.parquet"), **changes}
    (folder / "event").write_bytes(orjson.dumps({"specversion": "1.0", "id": "1", "source": "/t", "type": BATCH_REQUESTED, "data": data}))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_process_scores_what_the_mounted_event_names(tmp_path: Path, url: str) -> None:
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
            "a path is a URI of the scheme s3; files of this machine alone",
        ),
        ("/etc/passwd", "'/etc/passwd' is outside the folders that a batch may use"),
        ("a\0b", "has a NUL character"),
    ],
)
async def test_a_path_beyond_the_allowed_folders_is_one_sentence(
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


async def test_sigterm_leaves_nothing_behind(tmp_path: Path, model: Model, url: str) -> None:
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
    assert b"nothing was written" in log
    assert files(tmp_path) == ["event", "in.parquet"]


def test_an_event_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"K_EVENT_PATH": str(tmp_path)}) == 1
    assert "K_EVENT_PATH names the folder" in capsys.readouterr().err
