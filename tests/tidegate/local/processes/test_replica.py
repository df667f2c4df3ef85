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
from tidegate.local.processes.replica import Replica, until_serving


async def test_a_probe_that_cannot_be_made_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Readiness) -> None:
        raise RuntimeError("no more sockets")

    monkeypatch.setattr(replica, "until_ready", fails)
    launch = SimpleNamespace(name="hello-1", log=Path("hello-1.log"))
    process = SimpleNamespace(launch=launch, exited=asyncio.get_running_loop().create_future(), spawned=0.0)
    with pytest.raises(StartFailed, match=r"hello-1 cannot be asked whether it is ready: .*no more sockets"):
        await until_serving(Replica(1, 1, "a test", cast("Process", process)), Readiness(1))
