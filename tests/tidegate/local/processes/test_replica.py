from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tidegate.local.errors import StartFailed
from tidegate.local.processes import replica
from tidegate.local.processes.probe import Readiness
from tidegate.local.processes.process import Process
from tidegate.local.processes.replica import Replica, wait_until_serving


async def test_failing_probe_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Readiness) -> None:
        raise RuntimeError("no more sockets")

    monkeypatch.setattr(replica, "wait_until_ready", fails)
    launch = SimpleNamespace(name="hello-1", log=Path("hello-1.log"))
    process = SimpleNamespace(launch=launch, exited=asyncio.get_running_loop().create_future(), spawned=0.0)
    with pytest.raises(StartFailed, match=r"the readiness probe of hello-1 failed: .*no more sockets"):
        await wait_until_serving(Replica(number=1, port=1, reason="a test", process=cast("Process", process)), Readiness(1))
