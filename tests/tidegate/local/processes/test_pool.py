from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.local.errors import StartFailed
from tidegate.local.objects.scaling import Decision
from tidegate.local.processes.orphan_reaper import OrphanReaper
from tidegate.local.processes.pool import Pool, ReplicaTemplate
from tidegate.local.processes.process import Launch, Process
from tidegate.local.processes.replica import State

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Make = Callable[..., Pool]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Pools of a Python program, which are closed at the end."""
    pools: list[Pool] = []
    with OrphanReaper() as reaper:

        def pool(program: str, grace: float = 0) -> Pool:
            def start(number: int, port: int) -> Process:
                name = f"hello-{number}"
                command = [sys.executable, "-c", program]
                return Process.start(Launch(name=name, argv=command, env=dict(os.environ), cwd=tmp_path, log=tmp_path / name), reaper)

            pools.append(Pool(ReplicaTemplate(name="hello", start=start, readiness=lambda port: None, grace=grace)))
            return pools[-1]

        yield pool
        for made in pools:
            await made.close("the test is over")


SLEEP = "import time; time.sleep(60)"


async def test_pool_has_the_desired_number_of_replicas(make: Make, until: Until) -> None:
    pool = make(SLEEP)
    pool.scale(Decision(3, "a test"))
    await until(lambda: len(pool.ready) == 3)
    assert [replica.number for replica in pool.replicas] == [1, 2, 3]
    pool.scale(Decision(1, "less load"))
    await until(lambda: len(pool.replicas) == 1)
    assert pool.replicas[0].number == 1
    assert (pool.counts.starts, pool.counts.stops, pool.counts.crashes) == (3, 2, 0)


async def test_busy_replica_drains_until_its_last_request(make: Make, until: Until) -> None:
    pool = make(SLEEP)
    pool.scale(Decision(1, "a test"))
    await until(lambda: pool.ready)
    (replica,) = pool.ready
    replica.in_flight = 1
    pool.scale(Decision(0, "idle"))
    assert replica.state is State.DRAINING
    replica.in_flight = 0
    pool.request_finished(replica)
    await until(lambda: not pool.replicas)
    assert pool.counts.crashes == 0


async def test_lost_replica_finishes_its_work_and_is_replaced(make: Make, until: Until, tmp_path: Path) -> None:
    """One that refuses connections may be stopping, and has outcomes to send then."""
    pool = make(
        """
import signal, sys, time
from pathlib import Path
def stop(*_):
    Path("finished").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
Path("ready").touch()
time.sleep(60)
""",
        grace=30,
    )
    pool.scale(Decision(1, "a test"))
    await until((tmp_path / "ready").exists)
    (replica,) = pool.ready
    pool.mark_lost(replica)
    pool.request_finished(replica)
    await until(lambda: replica not in pool.replicas)
    assert (tmp_path / "finished").exists()
    assert str(replica.process.exited.result()) == "ended with exit code 0"


async def test_replica_is_lost_only_if_it_refuses_connections(make: Make, until: Until) -> None:
    pool = make(SLEEP)
    pool.scale(Decision(1, "a test"))
    await until(lambda: pool.ready)
    (replica,) = pool.ready
    with socket.create_server(("127.0.0.1", replica.port)) as listener:
        pool.check(replica)
        connection, _ = await asyncio.to_thread(listener.accept)
        with connection:
            assert await asyncio.to_thread(connection.recv, 1) == b""  # it has been checked
    assert replica.state is State.READY
    pool.check(replica)
    await until(lambda: replica.state is State.LOST)
    await until(lambda: pool.ready)
    assert pool.ready[0].process.pid != replica.process.pid


async def test_lost_replica_is_killed_and_replaced(make: Make, until: Until) -> None:
    pool = make(SLEEP)
    pool.scale(Decision(1, "a test"))
    await until(lambda: pool.ready)
    (replica,) = pool.ready
    pool.mark_lost(replica)
    assert pool.live == []
    pool.request_finished(replica)
    await until(lambda: pool.ready)
    assert pool.ready[0].process.pid != replica.process.pid
    assert pool.ready[0].reason == "the previous process exited by itself"
    assert pool.counts.crashes == 1


async def test_program_that_cannot_start_is_a_problem_from_the_second_time_on(until: Until) -> None:
    def fail(number: int, port: int) -> Process:
        raise StartFailed("hello-1: cannot run it", remedy="install it")

    problems: list[str | None] = []
    pool = Pool(ReplicaTemplate(name="hello", start=fail, readiness=lambda port: None, grace=0), lambda: problems.append(pool.problem))
    pool.scale(Decision(1, "a test"))
    await until(lambda: len(problems) == 2)
    await pool.close("the test is over")
    assert problems == [None, "hello cannot be started: hello-1: cannot run it; install it"]
    assert pool.counts.crashes == 2
