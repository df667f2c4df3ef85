"""`tidegate publish`: the rows of a file as CloudEvents on a topic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventing.errors import TidegateError
from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from eventing.event import Event


# Kafka's own rule for names of topics.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class InvalidTopic(TidegateError):
    """A topic cannot have this name."""


def publish(
    topic: Annotated[str, typer.Argument(help="The Kafka topic.")],
    file: Annotated[
        Path,
        typer.Argument(help="Rows as .jsonl, .csv or .parquet; each becomes an event's data. In CSV, 7.5 is a number and 007 a text."),
    ],
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
    from eventing.redaction import redact_url
    from eventing.settings import group_of
    from tidegate import publishing, rows
    from tidegate.commands.options import broker
    from tidegate.narration import Narration

    if not _TOPIC.fullmatch(topic):
        raise InvalidTopic(f"{topic!r} is no name for a topic; use letters, digits, dots, dashes and underscores.")
    target = broker(bootstrap_servers, state_dir)
    bound = (0 if bootstrap_servers else publishing.EMBEDDED_MAX_LAG) if max_lag is None else max_lag
    if bound and not bootstrap_servers and topic not in _topics_read(state_dir):
        bound = 0
        print(
            f"tidegate: no stream worker reads {topic}; the embedded broker keeps only its newest events, some 5 MB a partition.",
            file=sys.stderr,
        )
    events = _events(rows.read(file), file, topic, type_ or topic, source or f"/files/{file.name}", id_column, key_column)
    narration = Narration()
    with (
        publishing.Publisher(target, topic, group=group_of(topic), max_lag=bound) as publisher,
        narration.progress(f"publishing to {topic}", rows.count(file), "events") as progress,
    ):
        for event in events:
            publisher.send(codec.encode(event))
            progress.advance(1)
    result = {"topic": topic, "published": publisher.taken, "bootstrap_servers": redact_url(target.bootstrap_servers)}
    print(orjson.dumps(result).decode() if as_json else f"{publisher.taken:,} events published to {topic}")


def _events(
    rows: Iterator[dict[str, Any]], file: Path, topic: str, type_: str, source: str, id_column: str, key_column: str | None
) -> Iterator[Event]:
    # The SDK's own event checks attributes as the specification wants them; the codec of the hot path writes them.
    from cloudevents.core.v1.event import CloudEvent

    from eventing.event import Event
    from tidegate.rows import UnreadableFile

    for number, row in enumerate(rows, 1):
        event_id = row.pop(id_column, None)
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{file.name}:{number}" if event_id is None else str(event_id),
            "source": source,
            "type": type_,
            "datacontenttype": "application/json",
        }
        if key_column is not None:
            if row.get(key_column) is None:
                raise UnreadableFile(f"row {number} of {file} has no {key_column}, which --key names; its columns are {', '.join(row)}.")
            attributes["partitionkey"] = str(row[key_column])
        CloudEvent(dict(attributes), row)  # it adds a time to what it is given
        yield Event(attributes, row)


def _topics_read(state_dir: Path) -> set[str]:
    """The topics that the stream workers of the running `tidegate up` read."""
    from tidegate.commands.options import running
    from tidegate.commands.status import read_status

    return {stream["topic"] for stream in read_status(running(state_dir))["streams"].values()}
