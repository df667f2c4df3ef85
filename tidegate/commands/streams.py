"""`tidegate streams`: how far streams are behind, and when they will have caught up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, BootstrapServers, StateDir

if TYPE_CHECKING:
    from rich.console import RenderableType

    from eventing.kafka.port import Cluster
    from tidegate.streams.observing import Observed
    from tidegate.streams.samples import Stream


class Format(StrEnum):
    """A format for programs."""

    JSON = "json"
    YAML = "yaml"


def streams(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|TOPIC", help="Only the stream with this name, input topic or consumer group.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", envvar="TIDEGATE_SECONDS", min=0, max=600, help="How long to observe the streams, for their rates."),
    ] = 3.0,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", envvar="TIDEGATE_WATCH", help="Go on until Ctrl-C, with the rates of the last minute.")
    ] = False,
    partitions: Annotated[bool, typer.Option("--partitions", envvar="TIDEGATE_PARTITIONS", help="Show each partition too.")] = False,
    output: Annotated[
        Format | None, typer.Option("--output", "-o", envvar="TIDEGATE_OUTPUT", help="Print a document, for programs.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", envvar="TIDEGATE_GROUP", help="The consumer group that reads the topic; tidegate-TOPIC unless named."),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Show streams: their rates, their lag in records and in time, and when they will have caught up.

    All is read from the broker; no offset is committed. With --bootstrap-servers, streams are the consumer groups
    tidegate-TOPIC of that broker, and one of another name needs TOPIC and --group.
    """
    from common.errors import TidegateError
    from tidegate.streams.observing import SAMPLE_SECONDS, Observer
    from tidegate.streams.reading import SampleReader

    if group and not name:
        raise typer.BadParameter("it needs the topic that the group reads, as an argument", param_hint="--group")
    if watch and output is Format.YAML:
        raise typer.BadParameter("--watch prints a line for each observation; write -o json", param_hint="--output")
    cluster, found = _streams(name, group, bootstrap_servers, state_dir)
    if not found:
        raise TidegateError("there is no stream here", remedy="name its topic, and its group with --group")
    with SampleReader(cluster) as reader:
        observer = Observer(reader, found)
        if watch:
            _watch(observer.watch(max(seconds, SAMPLE_SECONDS)), output, partitions)
        else:
            _print(observer.observe(seconds), output, partitions)


def _streams(name: str | None, group: str | None, bootstrap_servers: str | None, state_dir: Path) -> tuple[Cluster, list[Stream]]:
    """The broker and the streams to show. Raises TidegateError."""
    from eventing.kafka.factory import cluster_of
    from tidegate.commands.options import broker, running
    from tidegate.commands.status import read_status
    from tidegate.streams import finding

    cluster = cluster_of(broker(bootstrap_servers, state_dir))
    if bootstrap_servers:
        found = [finding.of_topic(name, group, None)] if name else finding.of_broker(cluster)
        return cluster, finding.described(cluster, found)
    if name and group:
        return cluster, [finding.of_topic(name, group, None)]
    known = finding.of_status(read_status(running(state_dir)))
    return cluster, finding.chosen(known, name) if name else known


def _watch(observations: Iterator[list[Observed]], output: Format | None, partitions: bool) -> None:
    """Show observations live in a terminal, and one after the other elsewhere."""
    import orjson
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False)
    if output is not None:
        for observed in observations:
            print(orjson.dumps(_documents(observed)).decode(), flush=True)
    elif not console.is_terminal:
        for observed in observations:
            console.print(_rendered(observed, partitions))
    else:
        with Live(console=console, auto_refresh=False) as live:
            for observed in observations:
                live.update(_rendered(observed, partitions), refresh=True)


def _print(observed: Sequence[Observed], output: Format | None, partitions: bool) -> None:
    import orjson
    import yaml
    from rich.console import Console

    if output is Format.JSON:
        print(orjson.dumps(_documents(observed), option=orjson.OPT_INDENT_2).decode())
    elif output is Format.YAML:
        print(yaml.safe_dump(_documents(observed), sort_keys=False), end="")
    else:
        Console(highlight=False, markup=False).print(_rendered(observed, partitions))


def _documents(observed: Sequence[Observed]) -> dict[str, Any]:
    from tidegate.streams.document import document

    return {"streams": [document(one.stream, one.sample, one.forecast, one.seconds) for one in observed]}


def _rendered(observed: Sequence[Observed], partitions: bool) -> RenderableType:
    from rich.console import Group

    from tidegate.streams import text

    tables = [text.table(observed)]
    if partitions:
        tables.append(text.partitions_table(observed))
    return Group(*tables)
