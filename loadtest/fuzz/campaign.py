"""A run of the fuzzer: so many examples from one seed, and the smallest request whose answer is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings

from loadtest.fuzz import strategies
from loadtest.fuzz.judge import STATUSES, verdict
from loadtest.fuzz.model import Model
from loadtest.fuzz.wire import Request, exchange, statuses


class Found(Exception):
    """A request whose answer is wrong."""


def run(port: int, models: Sequence[Model], *, number: int, examples: int) -> None:
    """Raises Found, with a note that shows the smallest request that hypothesis found."""
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
        wrong = verdict(request, exchange(port, request))
        if wrong:
            raise Found(wrong)

    @seed(number)
    @configured
    @given(strategies.raw(models))
    def noise(sent: bytes) -> None:
        wrong = [status for status in statuses(port, sent) if status not in {*STATUSES, 100, 408}]
        if wrong:
            raise Found(f"status {wrong[0]}")

    requests()
    noise()
