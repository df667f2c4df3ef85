"""`tidegate replay`: ask another revision about the events of a topic, and compare with what was answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from tidegate.local.status import StreamStatus


def replay(
    topic: Annotated[str, typer.Argument(help="The Kafka topic with the events.")],
    model: Annotated[str, typer.Option(envvar="TIDEGATE_MODEL_NAME", help="The model's name.")],
    against: Annotated[
        str, typer.Option(envvar="TIDEGATE_AGAINST", metavar="REVISION", help="The candidate, by name, tag or version of the model.")
    ],
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="TIDEGATE_FROM",
            metavar="TIME|OFFSET",
            help="Where to begin: a time (2026-11-01T08:00, UTC), a duration before now (15m, 2h, 7d) or an offset. By default the oldest.",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", envvar="TIDEGATE_TO", metavar="TIME|OFFSET", help="The record to stop before, as --from. By default the end."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_OUTPUT",
            metavar="TOPIC",
            help="The topic with what was answered. By default that of the topic's stream in the running `tidegate up`.",
        ),
    ] = None,
    deadletter: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_DEADLETTER", metavar="TOPIC", help="The topic of dead letters. By default found as --output."),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_SCORE", metavar="OUTPUT", help="The output to compare. By default the first number."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(envvar="TIDEGATE_THRESHOLD", help="The score from which on a decision would be yes, for the agreement.")
    ] = 0.5,
    report: Annotated[
        Path, typer.Option(envvar="TIDEGATE_REPORT", metavar="FILE", help="The HTML report to write; replaces an earlier one.")
    ] = Path("replay.html"),
    url: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_URL", help="The router. By default that of the running `tidegate up`.")
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Ask a candidate about the events of a topic, and compare with what was answered.

    It shows agreement, differences of the scores, errors and latency. Nothing is published, and no offset is committed:
    the stream goes on undisturbed.
    """
    import asyncio
    from datetime import UTC, datetime

    import orjson
    from rich.console import Console

    from eventing.kafka.factory import cluster_of
    from functions.stream.settings import deadletter_of
    from tidegate.commands.options import broker, router
    from tidegate.progress import ProgressReporter
    from tidegate.replay import document, text
    from tidegate.replay.report import html
    from tidegate.replay.run import ReplayRequest, run
    from tidegate.replay.window import parse_window
    from tidegate.reporting import page

    page.check_writable(report)
    window = parse_window(first, last, datetime.now(UTC))
    stream = None if output else _stream_of(topic, state_dir)
    request = ReplayRequest(
        topic=topic,
        model=model,
        against=against,
        window=window,
        output=output or (stream["output"] if stream else ""),
        deadletter=deadletter or (stream["deadletter"] if stream else deadletter_of(topic)),
        score=score,
        threshold=threshold,
    )
    cluster = cluster_of(broker(bootstrap_servers, state_dir))
    with ProgressReporter().progress(f"replaying {topic}", None, "events") as progress:
        found = asyncio.run(run(request, cluster, url=router(url, state_dir), progress=progress.show))
    page.write(report, html(found))
    if as_json:
        print(orjson.dumps({**document.document(found), "report": str(report)}, option=orjson.OPT_INDENT_2).decode())
    else:
        text.show(found, report, Console(highlight=False))


def _stream_of(topic: str, state_dir: Path) -> StreamStatus:
    """The stream of the running `tidegate up` that reads the topic, which has an output. Raises TidegateError."""
    from common.errors import TidegateError
    from tidegate.commands.options import running
    from tidegate.commands.status import streams_with

    found = next((stream for stream in streams_with(running(state_dir), topic=topic) if stream["output"]), None)
    if found is None:
        raise TidegateError(f"no stream here reads {topic}", remedy="name the topic of its answers with --output")
    return found
