"""The worker's process, before it has a sink."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

SETTINGS = {"TIDEGATE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TIDEGATE_STREAM_INPUT": "in", "TIDEGATE_STREAM_OUTPUT": "out", "PORT": "0"}


async def start(**more: str) -> asyncio.subprocess.Process:
    environ = {**os.environ, **SETTINGS, **more}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "functions.stream", env=environ, stderr=asyncio.subprocess.PIPE)


async def test_process_without_a_sink_exits_with_one_sentence() -> None:
    process = await start()
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"K_SINK is not set; a SinkBinding sets it" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_pod_without_a_sink_waits_to_be_replaced(number: signal.Signals) -> None:
    process = await start(KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert process.stderr is not None
    assert b"K_SINK is not set yet" in await process.stderr.readline()
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == 0
