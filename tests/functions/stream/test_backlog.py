"""A backlog of many records on the broker of `tidegate up`, whose topics have four partitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from functions.stream.settings import StreamSettings

# A tracer makes it three times as long.
pytestmark = pytest.mark.no_cover


@pytest.mark.parametrize("partitions", [range(4), [2]], ids=["all", "one"])
async def test_backlog_is_moved_to_its_end(
    settings: StreamSettings, backlog: Callable[..., Awaitable[None]], partitions: list[int]
) -> None:
    await backlog(replace(settings, batch_size=256), partitions)


async def test_backlog_is_moved_by_workers_that_join_and_leave(settings: StreamSettings, backlog: Callable[..., Awaitable[None]]) -> None:
    await backlog(replace(settings, batch_size=256), range(4), workers=2)
