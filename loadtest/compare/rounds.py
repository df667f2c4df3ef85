"""Interleaved measurements: each round runs every scenario on every server, beginning with another server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from common.errors import TidegateError
from loadtest.compare.model import Trained
from loadtest.compare.scenarios import Scenario, Subject
from loadtest.compare.servers import Ready

Measured = dict[str, dict[str, list[Mapping[str, float]]]]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Figures by scenario and server, one entry for each round; `failed` has the reason of a server that stopped."""

    figures: Measured = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def values(self, scenario: str, server: str, figure: str) -> list[float]:
        return [entry[figure] for entry in self.figures.get(scenario, {}).get(server, []) if figure in entry]

    def median(self, scenario: str, server: str, figure: str) -> float | None:
        values = self.values(scenario, server, figure)
        return median(values) if values else None

    def ratio(self, scenario: str, server: str, peer: str, figure: str) -> float | None:
        """Return the median of the rounds' ratios, since a disturbance of a round affects both servers."""
        pairs = zip(self.values(scenario, server, figure), self.values(scenario, peer, figure), strict=False)
        ratios = [one / other for one, other in pairs if other]
        return median(ratios) if ratios else None

    def errors(self, scenario: str, server: str) -> int:
        return int(sum(self.values(scenario, server, "errors")))


def measure(
    ready: Sequence[Ready],
    trained: Trained,
    scenarios: Sequence[Scenario],
    rounds: int,
    seconds: float,
    report: Callable[[str], None],
    result: Rounds,
) -> None:
    """Run all rounds and add the figures to `result`.

    All servers run from the first round to the last; one at a time is loaded.
    """
    result.figures.update({scenario.name: {item.server.name: [] for item in ready} for scenario in scenarios})
    with ExitStack() as stack:
        subjects = []
        for item in ready:
            try:
                subjects.append(Subject(item, stack.enter_context(item.start(trained)), trained, seconds))
            except TidegateError as error:
                result.failed[item.server.name] = str(error)
        for number in range(rounds):
            for scenario in scenarios:
                for subject in rotated(subjects, number):
                    if subject.ready.server.name not in result.failed:
                        _one(scenario, subject, result, report, f"round {number + 1}/{rounds}")


def rotated(subjects: Sequence[Subject], number: int) -> list[Subject]:
    first = number % max(len(subjects), 1)
    return [*subjects[first:], *subjects[:first]]


def _one(scenario: Scenario, subject: Subject, result: Rounds, report: Callable[[str], None], where: str) -> None:
    server = subject.ready.server
    try:
        figures = scenario.measure(subject)
    except TidegateError as error:
        result.failed[server.name] = f"{scenario.title}: {error}"
        report(f"{where}  {server.title} failed at {result.failed[server.name]}")
        return
    result.figures[scenario.name][server.name].append(figures)
    failed = f", {figures['errors']:,.0f} failed" if figures.get("errors") else ""
    report(f"{where}  {scenario.title}: {server.title} {figures[scenario.figure]:,.1f} {scenario.unit}{failed}")
