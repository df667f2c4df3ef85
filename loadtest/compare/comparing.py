"""The complete comparison, from installation to the last figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import TidegateError
from loadtest.compare import rounds
from loadtest.compare.bars import LIGHTGBM
from loadtest.compare.load import Load, run
from loadtest.compare.model import Trained, lightgbm_model, xgboost_model
from loadtest.compare.overhead import noop, overhead
from loadtest.compare.result import Comparison, Shown, machine
from loadtest.compare.rounds import Rounds
from loadtest.compare.scenarios import Scenario
from loadtest.compare.servers import OURS, Ready, Server, prepare
from loadtest.compare.soak import soak

Report = Callable[[str], None]
_CEILING_CONNECTIONS = (1, 8, 64)
_CEILING_SECONDS = 1.5
# The load average below which a machine is idle enough.
_QUIET = 0.5


class NothingToMeasure(TidegateError):
    """No server could be started."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `cache` is the folder of the environments, the models and the servers' logs."""

    servers: tuple[Server, ...]
    scenarios: tuple[Scenario, ...]
    lightgbm: bool
    rounds: int
    seconds: float
    soak: int | None
    cache: Path


def compare(plan: Plan, began: str, report: Report) -> Comparison:
    """Run a comparison. Ctrl-C ends it early, with the figures so far. Raises NothingToMeasure."""
    cache = plan.cache.resolve()
    conditions = machine()
    if float(conditions["load"]) > _QUIET:
        report(f"the load average is {conditions['load']}: other programs are running, so that latencies and ratios are unreliable")
    report("training the model")
    trained = xgboost_model(cache / "models")
    ready, shown = _prepare(plan, trained, cache, report)
    found = Comparison(
        began,
        conditions,
        plan.rounds,
        plan.seconds,
        _ceiling(trained, cache, min(plan.seconds, _CEILING_SECONDS), report),
        shown,
        Rounds(),
    )
    try:
        if plan.scenarios:
            rounds.measure(ready, trained, plan.scenarios, plan.rounds, plan.seconds, report, found.measured)
        ours = next((item for item in ready if item.server.name == OURS), None)
        if ours and plan.lightgbm:
            _lightgbm(ours, plan, cache, found.measured, report)
        if ours and plan.soak:
            found = replace(found, soak=soak(ours, trained, plan.soak, report))
    except KeyboardInterrupt:
        report("interrupted: the servers are stopped")
        found = replace(found, interrupted=True)
    return found


def _prepare(plan: Plan, trained: Trained, cache: Path, report: Report) -> tuple[list[Ready], tuple[Shown, ...]]:
    ready, shown = [], []
    for server in plan.servers:
        report(f"preparing {server.title}")
        try:
            one = prepare(server, trained, cache, cache / "logs")
        except TidegateError as error:
            report(f"{server.title}: {error}")
            shown.append(Shown(server.name, server.title, missing=str(error)))
        else:
            ready.append(one)
            shown.append(Shown(server.name, server.title, one.versions, tuple(one.notes)))
    if not ready:
        raise NothingToMeasure("none of the servers could be started", remedy="see the reasons above")
    return ready, tuple(shown)


def _ceiling(trained: Trained, cache: Path, seconds: float, report: Report) -> dict[str, float]:
    with noop(trained, cache / "logs" / "noop.log") as nothing:
        found = {}
        for connections in _CEILING_CONNECTIONS:
            figures = run(Load(nothing.port, trained.requests.one, connections, seconds))
            found[str(connections)] = figures.rate
    report("the load generator alone: " + ", ".join(f"{rate:,.0f} requests/s at {connections}" for connections, rate in found.items()))
    return found


def _lightgbm(ours: Ready, plan: Plan, cache: Path, measured: Rounds, report: Report) -> None:
    try:
        entries, failed = overhead(ours, lightgbm_model(cache / "models"), plan.rounds, plan.seconds, report)
    except ImportError as error:
        entries, failed = [], f'{error}; pip install "tidegate[lightgbm]"'
    measured.figures[LIGHTGBM] = {OURS: entries}
    if failed:
        measured.failed[LIGHTGBM] = failed
        report(f"LightGBM: {failed}")
