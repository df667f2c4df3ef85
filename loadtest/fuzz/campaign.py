"""A run of the fuzzer: so many examples from one seed, and the smallest request whose answer is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings

from loadtest.fuzz import strategies
from loadtest.fuzz.damage import damaged
from loadtest.fuzz.judge import STATUSES, verdict
from loadtest.fuzz.model import Model
from loadtest.fuzz.wire import Reply, Request, Target

# Of bytes that may be no request: interim answers, and what a request that never becomes whole gets.
_RAW_STATUSES = STATUSES | {100, 102, 408}


class Found(Exception):
    """A request whose answer is wrong."""


def run(target: Target, models: Sequence[Model], *, number: int, examples: int, damages: int = 0) -> int:
    """Send so many requests that are almost right, and as many runs of bytes, each also with `damages` random changes to its bytes.

    Returns how many were sent. Raises Found, with a note that shows the smallest that hypothesis found.
    """
    sent = 0
    configured = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    @seed(number)
    @configured
    @given(strategies.valid(models) | strategies.mutated(models))
    def requests(request: Request) -> None:
        nonlocal sent
        sent += 1
        wrong = verdict(request, _exchange(target, request), behind_gateway=target.behind_gateway)
        if wrong:
            raise Found(wrong)

    @seed(number)
    @configured
    @given(strategies.raw(models, target.host or "fuzz"))
    def noise(data: bytes) -> None:
        nonlocal sent
        source = random.Random(data)  # noqa: S311 the same bytes are damaged in the same ways
        for item in (data, *(damaged(source, data) for _ in range(damages))):
            sent += 1
            _check_statuses(target, item)

    requests()
    noise()
    return sent


def _exchange(target: Target, request: Request) -> Reply | None:
    try:
        return target.exchange(request)
    except TimeoutError:
        raise Found("no answer, and the connection stays open") from None


def _check_statuses(target: Target, data: bytes) -> None:
    try:
        wrong = [status for status in target.statuses(data) if status not in _RAW_STATUSES]
    except TimeoutError:
        raise Found(f"the connection stays open after {data[:2_000]!r}") from None
    if wrong:
        raise Found(f"status {wrong[0]} for {data[:2_000]!r}")
