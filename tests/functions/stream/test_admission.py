from __future__ import annotations

import asyncio

import pytest

from functions.stream.admission import Admission


async def entered(admission: Admission, most: int) -> int:
    """Return how many of `most` calls are admitted at once."""
    tasks = [asyncio.create_task(admission.enter()) for _ in range(most)]
    done, waiting = await asyncio.wait(tasks, timeout=0)
    for _ in range(5):
        more, waiting = await asyncio.wait(tasks, timeout=0)
        done |= more
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return len(done)


async def test_sink_is_woken_by_one_call() -> None:
    admission = Admission(4, 16)
    assert await entered(admission, 10) == 1
    admission.leave()
    admission.succeeded(256)
    assert await entered(admission, 10) == 4


@pytest.mark.parametrize("status", [500, 503])
async def test_sink_that_is_away_gets_one_call_at_a_time_until_it_answers(status: int) -> None:
    admission = Admission(4, 16)
    admission.succeeded(1)
    for _ in range(3):
        assert not admission.is_away
        admission.failed(status, 0.0)
    assert (admission.is_away, admission.limit) == (True, 1)
    admission.succeeded(1)
    assert not admission.is_away
    assert admission.limit > 0


async def test_failure_between_answers_stops_nothing() -> None:
    admission = Admission(4, 16)
    for _ in range(10):
        admission.succeeded(1)
        admission.failed(500, 0.0)
    assert not admission.is_away
    assert admission.limit == 4


async def test_cancelled_call_gives_its_place_back() -> None:
    admission = Admission(1, 1)
    for _ in range(4):
        admission.failed(503, 30.0)
    calls = [asyncio.create_task(admission.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    admission.succeeded(1)
    assert await entered(admission, 2) == 1
