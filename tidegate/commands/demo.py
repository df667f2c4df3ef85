"""`tidegate demo`: the main job on real data, run and held to account."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tidegate.commands.options import AsJson


class Part(StrEnum):
    """What the main job can lose on the way."""

    FLIGHTS = "flights"
    ROUTER = "router"
    STREAM = "stream-flights"


def demo(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_BOOTSTRAP_SERVERS", metavar="HOST:PORT,…", help="Kafka brokers. Left out: one is embedded."),
    ] = None,
    state_dir: Annotated[
        Path, typer.Option("--state-dir", envvar="TIDEGATE_DEMO_STATE_DIR", help="Where the report, the logs and the batch's files go.")
    ] = Path(".tidegate/demo"),
    events: Annotated[
        int | None, typer.Option(envvar="TIDEGATE_EVENTS", min=100, help="Stream only the first so many departures of the month.")
    ] = None,
    kill: Annotated[
        list[Part] | None,
        typer.Option(envvar="TIDEGATE_KILL", help="Kill this once while the stream runs. May be given several times."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", envvar="TIDEGATE_TRAIN", help="Train the models first, or use what is there.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Run the main job on real data, and check it.

    It trains two models on real flights, streams a month of departures through a canary, scores another as a batch, and checks it all.
    Ends with 1 when a promise was not kept: an event lost or doubled, a score that differs, a process left behind.
    """
    import sys

    import orjson
    from rich.console import Console

    from tidegate.demo import report
    from tidegate.demo.run import DemoSettings, run
    from tidegate.progress import ProgressReporter

    settings = DemoSettings(
        state_dir=state_dir,
        bootstrap_servers=bootstrap_servers,
        events=events,
        kill=tuple(part.value for part in kill or ()),
        train=train,
    )
    found, checks = run(settings, ProgressReporter())
    if as_json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        report.show(found, checks, settings.report, Console(highlight=False))
    broken = [check.name for check in checks if not check.kept]
    if broken:
        print(f"tidegate: the demo failed: {'; '.join(broken)}.", file=sys.stderr)
    return 1 if broken else 0
