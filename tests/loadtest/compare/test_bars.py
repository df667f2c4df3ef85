from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from loadtest.compare.bars import BARS, Bar, Outcome, verdicts
from loadtest.compare.result import Comparison
from loadtest.compare.rounds import Rounds
from loadtest.compare.soak import Soak

_START = next(bar for bar in BARS if bar.scenario == "cold-start" and not bar.ratio)
_FASTER = next(bar for bar in BARS if bar.scenario == "one-row-8" and bar.figure == "rate")
_SMALLER = next(bar for bar in BARS if bar.scenario == "memory")
_FLAT = next(bar for bar in BARS if bar.scenario == "soak")


def _result(scenario: str, ours: list[Mapping[str, float]], theirs: list[Mapping[str, float]]) -> Comparison:
    return Comparison("", {}, len(ours), 1.0, {}, (), Rounds({scenario: {"tidegate": ours, "mlserver": theirs}}))


def _outcome(bar: Bar, result: Comparison) -> Outcome:
    return next(verdict.outcome for verdict in verdicts(result) if verdict.bar == bar)


@pytest.mark.parametrize(("started", "outcome"), [(399, "met"), (400, "met"), (401, "missed")])
def test_limit_itself_is_kept(started: float, outcome: str) -> None:
    assert _outcome(_START, _result("cold-start", [{"started_ms": started}], [])) == outcome


@pytest.mark.parametrize(("rate", "outcome"), [(7_999, "missed"), (8_000, "met"), (9_000, "met")])
def test_rate_is_a_multiple_of_the_peers(rate: float, outcome: str) -> None:
    assert _outcome(_FASTER, _result("one-row-8", [{"rate": rate}], [{"rate": 1_000}])) == outcome


@pytest.mark.parametrize(("size", "outcome"), [(80, "met"), (81, "missed")])
def test_memory_is_a_share_of_the_peers(size: float, outcome: str) -> None:
    assert _outcome(_SMALLER, _result("memory", [{"rss_mb": size}], [{"rss_mb": 240}])) == outcome


def test_rate_with_failed_requests_misses_the_bar() -> None:
    assert _outcome(_FASTER, _result("one-row-8", [{"rate": 9_000, "errors": 1}], [{"rate": 1_000, "errors": 0}])) == "missed"


def test_bar_without_figures_is_not_measured() -> None:
    result = _result("one-row-8", [{"rate": 9_000}], [])
    assert {verdict.outcome for verdict in verdicts(result)} == {"not measured"}


@pytest.mark.parametrize(("slope", "errors", "outcome"), [(0.2, 0, "met"), (-3.0, 0, "met"), (5.0, 0, "missed"), (0.2, 1, "missed")])
def test_soak_must_be_flat_and_without_errors(slope: float, errors: int, outcome: str) -> None:
    result = replace(_result("one-row-8", [], []), soak=Soak(100, errors, 1.0, slope, ()))
    assert _outcome(_FLAT, result) == outcome
