"""The process of the broker, with a program in Java's place."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tidegate.local.calls import is_gone
from tidegate.local.apache import libraries, server
from tidegate.local.errors import StartFailed
from tidegate.local.processes.orphan_reaper import OrphanReaper

Until = Callable[[Callable[[], Any]], Awaitable[None]]

# As Kafka's tool it makes the folder of the data, as the broker it says that it has started; `broken` makes that fail.
JAVA = """#!/bin/sh
[ "$1" = -version ] && { echo 'openjdk version "17.0.1"' >&2; exit; }
case "$*" in
  *StorageTool*) grep ^log.dirs format.properties | cut -d= -f2 | xargs mkdir; exit ;;
esac
[ -e broken ] && { echo "java.lang.RuntimeException: no space left"; exit 1; }
echo $$ >> pids
echo "[KafkaRaftServer nodeId=1] Kafka Server started"
[ -e deaf ] && trap '' TERM
while :; do sleep 0.05; done
"""


@pytest.fixture
def reaper() -> Iterator[OrphanReaper]:
    with OrphanReaper() as found:
        yield found


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> server.Options:
    program = tmp_path / "jdk" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(JAVA)
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    jars = tmp_path / "cache" / f"kafka-{libraries.VERSION}"
    jars.mkdir(parents=True)
    for name in libraries.digests():
        (jars / name).touch()
    (tmp_path / "kafka").mkdir()
    return server.Options(folder=tmp_path / "kafka", output=tmp_path / "kafka.log", cache=tmp_path / "cache")


def pids(options: server.Options) -> list[int]:
    file = options.folder / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def test_broker_that_ends_is_started_again_at_its_address(options: server.Options, reaper: OrphanReaper, until: Until) -> None:
    async with server.running(options, reaper, asyncio.Event()) as address:
        configuration = (options.folder / "server.properties").read_text()
        assert f"PLAINTEXT://{address}\n" in configuration
        os.kill(pids(options)[0], signal.SIGKILL)
        await until(lambda: len(pids(options)) == 2)
        assert (options.folder / "server.properties").read_text() == configuration
    assert [is_gone(pid) for pid in pids(options)] == [True, True]


async def test_data_are_kept_unless_they_are_deleted(options: server.Options, reaper: OrphanReaper) -> None:
    mark = options.folder / "data" / "mark"
    async with server.running(options, reaper, asyncio.Event()):
        mark.touch()
    async with server.running(options, reaper, asyncio.Event()):
        assert mark.exists()
    fresh = server.Options(folder=options.folder, output=options.output, cache=options.cache, fresh=True)
    async with server.running(fresh, reaper, asyncio.Event()):
        assert not mark.exists()
        assert mark.parent.exists()


async def test_failed_start_names_the_log_and_its_last_line(options: server.Options, reaper: OrphanReaper) -> None:
    (options.folder / "broken").touch()
    said = rf"^Apache Kafka ended with exit code 1 \(java.lang.RuntimeException: no space left\); its log is {options.output}; .*--fresh"
    with pytest.raises(StartFailed, match=said):
        async with server.running(options, reaper, asyncio.Event()):
            raise AssertionError


async def test_second_signal_kills_a_broker_that_does_not_stop(options: server.Options, reaper: OrphanReaper) -> None:
    (options.folder / "deaf").touch()
    hurry = asyncio.Event()
    async with server.running(options, reaper, hurry):
        hurry.set()
    assert [is_gone(pid) for pid in pids(options)] == [True]
