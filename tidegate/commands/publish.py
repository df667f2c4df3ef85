"""`tidegate publish`: the rows of a file as CloudEvents on a topic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from eventing.event import Event


def publish(
    topic: Annotated[str, typer.Argument(help="The Kafka topic.")],
    file: Annotated[Path, typer.Argument(help="JSON Lines (.jsonl), CSV (.csv) or Parquet (.parquet): a row becomes an event's data.")],
    type_: Annotated[str | None, typer.Option("--type", envvar="TIDEGATE_TYPE", help="The events' type; the topic unless named.")] = None,
    source: Annotated[str | None, typer.Option(envvar="TIDEGATE_SOURCE", help="The events' source; /files/<file> unless named.")] = None,
    id_column: Annotated[
        str,
        typer.Option("--id", envvar="TIDEGATE_ID", metavar="COLUMN", help="The column of the events' ids; without it, the row's number."),
    ] = "id",
    key_column: Annotated[
        str | None,
        typer.Option(
            "--key", envvar="TIDEGATE_KEY", metavar="COLUMN", help="The column of the partition key, by which a canary is sticky."
        ),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    max_lag: Annotated[
        int | None,
        typer.Option(
            envvar="TIDEGATE_MAX_LAG",
            min=0,
            help="How far to run ahead of the stream worker, in events a partition; 0: no bound. Left out: 2000 if the broker is embedded.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the rows of a file to a topic, each as a CloudEvent.

    Ids are the same each time, so that publishing a file again repeats events and makes no new ones.
    """
    import sys

    import orjson

    from eventing.codecs import kafka as codec
    from eventing.settings import group_of
    from tidegate import publishing, rows
    from tidegate.commands.options import broker
    from tidegate.narration import Narration

    target = broker(bootstrap_servers, state_dir)
    bound = max_lag if max_lag is not None else (0 if bootstrap_servers else publishing.EMBEDDED_MAX_LAG)
    events = _events(rows.read(file), file, topic, type_ or topic, source or f"/files/{file.name}", id_column, key_column)
    narration = Narration()
    with (
        publishing.Publisher(target, topic, group=group_of(topic), max_lag=bound) as publisher,
        narration.progress(f"publishing to {topic}", rows.count(file), "events") as progress,
    ):
        if bound and not publisher.has_reader:
            print(f"tidegate: no stream worker reads {topic} yet; the embedded broker keeps only its newest events.", file=sys.stderr)
        for event in events:
            publisher.send(codec.encode(event))
            progress.advance(1)
    result = {"topic": topic, "published": publisher.taken, "bootstrap_servers": target.bootstrap_servers}
    print(orjson.dumps(result).decode() if as_json else f"{publisher.taken:,} events published to {topic}")


def _events(
    rows: Iterator[dict[str, Any]], file: Path, topic: str, type_: str, source: str, id_column: str, key_column: str | None
) -> Iterator[Event]:
    # The SDK's own event checks attributes as the specification wants them; the codec of the hot path writes them.
    from cloudevents.core.v1.event import CloudEvent

    from eventing.event import Event
    from tidegate.rows import UnreadableFile

    for number, row in enumerate(rows, 1):
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": str(row.pop(id_column, "") or f"{file.name}:{number}"),
            "source": source,
            "type": type_,
            "datacontenttype": "application/json",
        }
        if key_column is not None:
            if key_column not in row:
                raise UnreadableFile(f"row {number} of {file} has no {key_column}, which --key names; its columns are {', '.join(row)}.")
            attributes["partitionkey"] = str(row[key_column])
        CloudEvent(attributes, row)
        yield Event(attributes, row)
