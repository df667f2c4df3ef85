"""Rows onto a topic and events off it again, with the real commands and an embedded broker."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.up import UpSettings, up

Tidegate = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Any]


@pytest.fixture
async def call(tidegate: Tidegate, tmp_path: Path) -> AsyncIterator[Command]:
    """Runs a command beside a `tidegate up` that has a broker and nothing else."""
    state = tmp_path / "state"
    async with up(UpSettings(manifests=[], port=0, state_dir=state)):
        yield lambda *arguments: asyncio.to_thread(tidegate, *arguments, TIDEGATE_STATE_DIR=str(state))


async def published(call: Command, folder: Path, rows: list[dict[str, Any]], *options: str) -> list[dict[str, Any]]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = await call("publish", "fruit", str(folder / "rows.jsonl"), "--json", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] == len(rows)
    shown = await call("tail", "fruit", "--from-beginning", "--count", str(len(rows)), "--json")
    assert shown.returncode == 0, shown.stderr
    return sorted((json.loads(line) for line in shown.stdout.splitlines()), key=lambda event: str(event["id"]))


async def test_a_row_becomes_an_event_with_what_was_asked_for_and_nothing_else(call: Command, tmp_path: Path) -> None:
    (event,) = await published(call, tmp_path, [{"id": 0, "shop": "00123", "kg": 2}], "--key", "shop", "--type", "weighed")
    assert event == {
        "specversion": "1.0",
        "id": "0",
        "source": "/files/rows.jsonl",
        "type": "weighed",
        "datacontenttype": "application/json",
        "partitionkey": "00123",
        "data": {"shop": "00123", "kg": 2},
    }


async def test_rows_without_ids_have_the_same_ones_each_time(call: Command, tmp_path: Path) -> None:
    events = await published(call, tmp_path, [{"kg": 1}, {"kg": 2}])
    assert [event["id"] for event in events] == ["rows.jsonl:1", "rows.jsonl:2"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["publish", "bad topic!", "rows.jsonl"], "'bad topic!' is no name for a topic"),
        (["publish", "fruit", "rows.jsonl", "--key", "shop"], "row 1 of .* has no shop, which --key names; its columns are kg"),
    ],
)
async def test_what_cannot_be_published_is_one_sentence(arguments: list[str], sentence: str, call: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"kg": 1, "shop": null}\n')
    arguments = [str(tmp_path / item) if item == "rows.jsonl" else item for item in arguments]
    done = await call(*arguments)
    assert done.returncode == 1
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr
