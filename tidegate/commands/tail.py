"""`tidegate tail`: print the events of a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from eventing.kafka.port import Broker, Consumer

_POLL_SECONDS = 0.2


def tail(
    topic: Annotated[str, typer.Argument(help="The Kafka topic.")],
    count: Annotated[int | None, typer.Option("--count", "-c", envvar="TIDEGATE_COUNT", min=1, help="Stop after this many events.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", envvar="TIDEGATE_FROM_BEGINNING", help="Start with the oldest event of the broker.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Print the events of a topic as they arrive.

    It runs until Ctrl-C or --count. With --json, each event is a line in the CloudEvents JSON format.
    """
    from tidegate.commands.options import broker

    consumer = _open(broker(bootstrap_servers, state_dir), topic, from_beginning)
    shown = 0
    try:
        while count is None or shown < count:
            for records in consumer.poll(_POLL_SECONDS).values():
                for record in records[: None if count is None else count - shown]:
                    print(_as_json(record) if as_json else _as_text(record), flush=True)
                    shown += 1
    finally:
        consumer.close()


def _open(broker: Broker, topic: str, from_beginning: bool) -> Consumer:
    from common.errors import TidegateError
    from common.redaction import redact_url
    from eventing.kafka.factory import cluster_of
    from eventing.kafka.port import TopicPartition

    consumer = cluster_of(broker).consumer()
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for(topic))]
    if not partitions:
        consumer.close()
        raise TidegateError(f"no topic {topic} at {redact_url(broker.bootstrap_servers)}", remedy="publish to it first, or check its name")
    consumer.assign(partitions)
    if not from_beginning:
        for partition, end in consumer.end_offsets(partitions).items():
            consumer.seek(partition, end)
    return consumer


def _as_json(record: Any) -> str:
    from common.errors import InvalidEvent
    from eventing.codecs import json
    from eventing.codecs import kafka as codec

    try:
        return json.encode(codec.decode(record)).decode()
    except InvalidEvent as error:
        return _invalid_event(record, str(error)).decode()


def _invalid_event(record: Any, problem: str) -> bytes:
    import orjson

    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return orjson.dumps({**place, "problem": problem, "value": (record.value or b"").decode(errors="replace")})


def _as_text(record: Any) -> str:
    from common.errors import InvalidEvent
    from eventing import deadletter
    from eventing.codecs import kafka as codec

    place = f"{record.partition}/{record.offset}"
    problem = dict(record.headers).get(deadletter.PROBLEM)
    try:
        event = codec.decode(record)
    except InvalidEvent as error:
        return f"{place}  not an event: {error}  {(record.value or b'').decode(errors='replace')}"
    data = (event.payload() or b"").decode(errors="replace")
    about = {"key": event.get("partitionkey"), "of": event.get("causationid"), "by": event.get("modelversion")}
    attributes = "".join(f"  {name}={value}" for name, value in about.items() if value is not None)
    failure = f"  failed: {problem.decode(errors='replace')}" if problem else ""
    return f"{place}  {event.type}  {event.id}{attributes}  {data}{failure}"
