"""`tidegate publish`: the rows of a file as CloudEvents on a topic."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import TidegateError
from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from tidegate.contract import Contract


# Kafka's own rule for names of topics.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class InvalidTopic(TidegateError):
    """A topic cannot have this name."""


def publish(
    topic: Annotated[str, typer.Argument(help="The Kafka topic.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows as .jsonl, .csv or .parquet; each becomes an event's data. Cells of CSV are read by the model's inputs where the"
            " model is known, else by their form: 7.5 is a number, 007 a text. Ids and keys stay as they are."
        ),
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
    model: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_MODEL_NAME",
            metavar="NAME|CARD",
            help="The model whose inputs say how to read CSV: its name, or the path of its model.yaml. Left out: the one that the topic's"
            " stream feeds in the running `tidegate up`.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_ENCODING", help="The encoding of CSV and JSON Lines; UTF-8, or what a mark of byte order says."),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_DELIMITER", help="What separates the cells of CSV; found out of , ; | and tab unless named."),
    ] = None,
    url: Annotated[str | None, typer.Option(envvar="TIDEGATE_URL", help="The router that knows the model. Left out: that of `up`.")] = None,
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

    from common.redaction import redact_url
    from functions.stream.settings import group_of
    from tidegate import publishing, row_events, rows
    from tidegate.commands.options import broker
    from tidegate.progress import ProgressReporter

    if not _TOPIC.fullmatch(topic):
        raise InvalidTopic(f"{topic!r} is no name for a topic; use letters, digits, dots, dashes and underscores.")
    rows.check_file(file)
    target = broker(bootstrap_servers, state_dir)
    streams = {} if bootstrap_servers else _models_fed(state_dir)
    bound = (0 if bootstrap_servers else publishing.EMBEDDED_MAX_LAG) if max_lag is None else max_lag
    if bound and not bootstrap_servers and topic not in streams:
        bound = 0
        print(
            f"tidegate: no stream worker reads {topic}; the embedded broker keeps only its newest events, some 5 MB a partition.",
            file=sys.stderr,
        )
    contract = _contract(model, streams.get(topic), url, state_dir) if rows.has_cells_of_text(file) else None
    reading = rows.Reading(id_column=id_column, key_column=key_column, encoding=encoding, delimiter=delimiter, contract=contract)
    envelope = row_events.Envelope(
        file=file,
        type=type_ or topic,
        source=source or f"/files/{row_events.quoted_name(file)}",
        id_column=id_column,
        key_column=key_column,
    )
    messages = row_events.messages(rows.read(file, reading), envelope)
    reporter = ProgressReporter()
    with (
        publishing.Publisher(target, topic, group=group_of(topic), max_lag=bound) as publisher,
        reporter.progress(f"publishing to {topic}", rows.count(file), "events") as progress,
    ):
        for place, message in messages:
            publisher.send(message, f"{place} of {file}")
            progress.advance(1)
    result = {"topic": topic, "published": publisher.accepted, "bootstrap_servers": redact_url(target.bootstrap_servers)}
    print(orjson.dumps(result).decode() if as_json else f"{publisher.accepted:,} events published to {topic}")


def _models_fed(state_dir: Path) -> dict[str, str]:
    """The models that the stream workers of the running `tidegate up` feed, by the topic that they read."""
    from tidegate.commands.options import running
    from tidegate.commands.status import read_status

    return {stream["topic"]: stream["model"] for stream in read_status(running(state_dir))["streams"].values()}


def _contract(model: str | None, fed: str | None, url: str | None, state_dir: Path) -> Contract | None:
    """What the named model takes, or the one that the topic feeds; None where there is neither, or the latter does not answer."""
    import sys

    from tidegate import contract

    if model is None and not fed:
        return None
    if model is not None and contract.is_card(model):
        return contract.of_card(Path(model))
    try:
        return contract.of_model(model or fed or "", url or _router(state_dir))
    except TidegateError as error:
        if model is not None:
            raise
        print(f"tidegate: the inputs of {fed} are not known, so cells are read by their form: {error}", file=sys.stderr)
        return None


def _router(state_dir: Path) -> str:
    from urllib.parse import urlsplit

    from tidegate.commands.options import running

    return f"http://router.localhost:{urlsplit(running(state_dir).gateway).port}"
