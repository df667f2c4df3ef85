"""A run of the fuzzer: a number of examples from one seed, and the smallest request with a wrong answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings

from loadtest.fuzz import strategies
from loadtest.fuzz.damage import damaged
from loadtest.fuzz.judge import STATUSES, verdict
from loadtest.fuzz.model import Model
from loadtest.fuzz.wire import Reply, Request, Target

# Statuses for bytes that may not be a request: interim responses, and those for incomplete requests.
_RAW_STATUSES = STATUSES | {100, 102, 408}


class WrongAnswer(Exception):
    """A request has a wrong answer."""


def run(target: Target, models: Sequence[Model], *, number: int, examples: int, damages: int = 0) -> int:
    """Send `examples` almost valid requests, and as many runs of bytes with `damages` changed copies of each.

    Returns the number sent. Raises WrongAnswer with a note of the smallest example that hypothesis found.
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
            raise WrongAnswer(wrong)

    @seed(number)
    @configured
    @given(strategies.raw(models, target.host or "fuzz"))
    def noise(data: bytes) -> None:
        nonlocal sent
        source = random.Random(data)  # noqa: S311 equal bytes are damaged in equal ways
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
        raise WrongAnswer("no answer, and the connection stays open") from None


def _check_statuses(target: Target, data: bytes) -> None:
    try:
        wrong = [status for status in target.statuses(data) if status not in _RAW_STATUSES]
    except TimeoutError:
        raise WrongAnswer(f"the connection stays open after {data[:2_000]!r}") from None
    if wrong:
        raise WrongAnswer(f"status {wrong[0]} for {data[:2_000]!r}")
