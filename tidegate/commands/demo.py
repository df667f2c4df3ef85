"""`tidegate demo`: a rollout, stream, batches and backtest on real data, with checks of the results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tidegate.commands.options import AsJson

_STATE_DIR, _ROLLBACK_STATE_DIR = Path(".tidegate/demo"), Path(".tidegate/demo-rollback")


class Part(StrEnum):
    """A part that the demo can kill."""

    FLIGHTS = "flights"
    ROUTER = "router"
    STREAM = "stream-flights"


def demo(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_BOOTSTRAP_SERVERS", metavar="HOST:PORT,…", help="Kafka brokers. By default one is embedded."),
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option("--rollback", envvar="TIDEGATE_ROLLBACK", help="Roll out a version with a fault, and see it rolled back, instead."),
    ] = False,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            envvar="TIDEGATE_DEMO_STATE_DIR",
            show_default=f"{_STATE_DIR}, or {_ROLLBACK_STATE_DIR}",
            help="The folder for the report, the logs and the files of the batches.",
        ),
    ] = None,
    events: Annotated[
        int | None, typer.Option(envvar="TIDEGATE_EVENTS", min=100, help="Stream only so many departures; a rollout takes some thousands.")
    ] = None,
    kill: Annotated[
        list[Part] | None,
        typer.Option(envvar="TIDEGATE_KILL", help="Kill this part once while the stream runs. May be repeated."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", envvar="TIDEGATE_TRAIN", help="Train the models first, or use the existing ones.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Run a rollout, stream, batches and backtest on real data, and check the results.

    It trains two models on real flights and streams a month of departures, while the rollout function decides on the
    second model by the flights' outcomes. It scores another month by batches that a command, an event and a schedule
    start, and checks all results. With --rollback, it rolls out a third model, which is wrong. The exit status is 1 if
    a check fails: a lost or duplicate event, a wrong score, a wrong decision, a process left behind.
    """
    import sys

    import orjson
    from rich.console import Console

    from tidegate.demo import report
    from tidegate.demo import rollback as roll_back
    from tidegate.demo.control import interrupt_by_signals
    from tidegate.demo.run import run
    from tidegate.demo.session import DemoSettings
    from tidegate.progress import ProgressReporter

    settings = DemoSettings(
        state_dir=state_dir or (_ROLLBACK_STATE_DIR if rollback else _STATE_DIR),
        bootstrap_servers=bootstrap_servers,
        events=events,
        kill=tuple(part.value for part in kill or ()),
        train=train,
    )
    interrupt_by_signals()
    found, checks = (roll_back.run if rollback else run)(settings, ProgressReporter())
    if as_json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        report.show(found, checks, settings.report, Console(highlight=False))
    broken = [check.name for check in checks if not check.kept]
    if broken:
        print(f"tidegate: the demo failed: {'; '.join(broken)}.", file=sys.stderr)
    return 1 if broken else 0
