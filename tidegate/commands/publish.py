"""`tidegate publish`: publish the rows of a file as CloudEvents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import TidegateError
from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir, router

if TYPE_CHECKING:
    from tidegate.contract import Contract


# Kafka's rule for names of topics.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class InvalidTopic(TidegateError):
    """A topic cannot have this name."""


def publish(
    topic: Annotated[str, typer.Argument(help="The Kafka topic.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows as .jsonl, .csv or .parquet; each becomes the data of an event. Cells of CSV are converted by the model's inputs"
            " if the model is known, else by their form: 7.5 is a number, 007 a string. Ids and keys are not changed."
        ),
    ],
    type_: Annotated[str | None, typer.Option("--type", envvar="TIDEGATE_TYPE", help="The events' type. By default the topic.")] = None,
    source: Annotated[str | None, typer.Option(envvar="TIDEGATE_SOURCE", help="The events' source. By default /files/<file>.")] = None,
    id_column: Annotated[
        str,
        typer.Option(
            "--id", envvar="TIDEGATE_ID", metavar="COLUMN", help="The column of the events' ids. Without such a column, the row's number."
        ),
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
            help="The model whose inputs convert the cells of CSV: its name, or the path of its model.yaml. By default the one that the"
            " topic's stream feeds in the running `tidegate up`.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_ENCODING", help="The encoding of CSV and JSON Lines. By default UTF-8, or that of a byte order mark."
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_DELIMITER", help="The delimiter of CSV. By default it is detected: one of , ; | and tab."),
    ] = None,
    url: Annotated[str | None, typer.Option(envvar="TIDEGATE_URL", help="The router of the model. By default that of `up`.")] = None,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    max_lag: Annotated[
        int | None,
        typer.Option(
            envvar="TIDEGATE_MAX_LAG",
            min=0,
            help="The maximum lag of the stream worker, in events a partition; 0 is no bound. By default 2000 for an embedded broker.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the rows of a file to a topic, each as a CloudEvent.

    Ids do not change, so publishing a file again repeats the events, and readers can deduplicate them.
    """
    import sys

    import orjson

    from common.redaction import redact_url
    from functions.stream.settings import group_of
    from tidegate import publishing, row_events, rows
    from tidegate.commands.options import broker, running
    from tidegate.commands.status import streams_with
    from tidegate.local.broker import EMBEDDED
    from tidegate.progress import ProgressReporter

    if not _TOPIC.fullmatch(topic):
        raise InvalidTopic(f"{topic!r} is not a valid topic name", remedy="use letters, digits, dots, dashes and underscores")
    rows.check_file(file)
    target = broker(bootstrap_servers, state_dir)
    stream = None if bootstrap_servers else next(iter(streams_with(running(state_dir), topic=topic)), None)
    is_embedded = not bootstrap_servers and running(state_dir).kafka == EMBEDDED
    bound = (publishing.EMBEDDED_MAX_LAG if is_embedded else 0) if max_lag is None else max_lag
    if bound and is_embedded and stream is None:
        bound = 0
        print(
            f"tidegate: no stream worker reads {topic}; the embedded broker keeps only its newest events, about 5 MB a partition.",
            file=sys.stderr,
        )
    contract = _contract(model, stream["model"] if stream else None, url, state_dir) if rows.has_cells_of_text(file) else None
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
        publishing.Publisher(target, topic, group=stream["group"] if stream else group_of(topic), max_lag=bound) as publisher,
        reporter.progress(f"publishing to {topic}", rows.count(file), "events") as progress,
    ):
        for place, message in messages:
            publisher.send(message, f"{place} of {file}")
            progress.advance(1)
    result = {"topic": topic, "published": publisher.accepted, "bootstrap_servers": redact_url(target.bootstrap_servers)}
    print(orjson.dumps(result).decode() if as_json else f"{publisher.accepted:,} events published to {topic}")


def _contract(model: str | None, fed: str | None, url: str | None, state_dir: Path) -> Contract | None:
    """The inputs of the named model, or of the one that the topic feeds; None if that one does not respond."""
    import sys

    from tidegate import contract

    if model is None and not fed:
        return None
    if model is not None and contract.is_card(model):
        return contract.of_card(Path(model))
    try:
        return contract.of_model(model or fed or "", router(url, state_dir))
    except TidegateError as error:
        if model is not None:
            raise
        print(f"tidegate: the inputs of {fed} are unknown, so cells are converted by their form: {error}", file=sys.stderr)
        return None
