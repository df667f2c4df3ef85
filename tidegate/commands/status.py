"""`tidegate status`: running processes, the reasons for their number, the lag of the streams, and what moves events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir

if TYPE_CHECKING:
    from rich.table import Table

    from tidegate.local.state import Running
    from tidegate.local.status import ReplicaStatus, RevisionStatus, Status, StreamStatus


_ANSWER_SECONDS = 10.0
# How long the lag is observed for its trend.
_TREND_SECONDS = 1.0


def status(
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show running processes, the lag of streams, and what moves events.

    For each service its revisions, traffic and replicas, and the reason for their number; Brokers, Triggers, sources,
    sinks and Jobs with their counts.
    """
    import orjson

    from tidegate.commands.options import running

    found = running(state_dir)
    document = read_status(found)
    lags = read_lags(found, document)
    if as_json:
        print(orjson.dumps({**document, "lag": lags}, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())
        return
    _show(document, lags)


def read_status(found: Running) -> Status:
    """The status document of a running `tidegate up`. Raises NotRunning if it does not respond."""
    from http.client import HTTPException
    from typing import cast
    from urllib.request import Request

    import orjson

    from common.loopback import opener
    from tidegate.commands.options import NotRunning

    url = f"{found.api}/tidegate/status"
    try:
        request = Request(url, headers={"Authorization": f"Bearer {found.token()}"})
        with opener(url).open(request, timeout=_ANSWER_SECONDS) as response:
            return cast("Status", orjson.loads(response.read()))
    except (OSError, HTTPException, orjson.JSONDecodeError):
        raise NotRunning(
            f"tidegate (pid {found.pid}) is stopping, or cannot be reached at {found.api}",
            remedy="try again, or restart it with `tidegate up`",
        ) from None


def streams_with(found: Running, *, topic: str | None = None, deadletter: str | None = None) -> list[StreamStatus]:
    """The streams of a running `tidegate up` that read this topic, or write their dead letters to that one."""
    return [
        stream
        for stream in read_status(found)["streams"].values()
        if topic in (None, stream["topic"]) and deadletter in (None, stream["deadletter"])
    ]


def replicas(document: Status) -> Iterator[tuple[str, ReplicaStatus]]:
    """All processes, each after the name of its service or deployment."""
    for name, service in document["services"].items():
        for revision in service["revisions"]:
            yield from ((name, replica) for replica in revision["replicas"])
    for name, deployment in document["deployments"].items():
        yield from ((name, replica) for replica in deployment["replicas"])


def read_lags(found: Running, document: Status) -> dict[str, dict[str, Any]]:
    """The lag of each stream worker in records and in seconds, with its trend and the offsets of each partition."""
    from eventing.kafka.factory import cluster_of
    from tidegate.commands.options import broker_of
    from tidegate.streams.finding import of_status
    from tidegate.streams.forecast import shown_lag
    from tidegate.streams.observing import Observer
    from tidegate.streams.reading import SampleReader

    with SampleReader(cluster_of(broker_of(found))) as reader:
        streams = of_status(document)
        observed = Observer(reader, streams).observe(_TREND_SECONDS) if streams else []
    return {
        one.stream.name: {
            **document["streams"][one.stream.name],
            "records": one.forecast.records,
            "seconds": one.forecast.seconds,
            "seconds_change": one.forecast.seconds_change,
            "shown": shown_lag(one.forecast),
            "partitions": {
                number: {
                    "start": partition.start,
                    "end": partition.end,
                    "committed": partition.committed,
                    "seconds": partition.seconds,
                }
                for number, partition in one.sample.partitions.items()
            },
        }
        for one in observed
    }


def _show(document: Status, lags: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console

    from tidegate import eventing_tables

    console = Console(highlight=False, markup=False)
    console.print(f"gateway {document['gateway']}   Kafka {document['bootstrap_servers']} ({document['kafka']})", soft_wrap=True)
    console.print(_services(document))
    console.print(_workers(document, lags))
    for table in eventing_tables.tables(document["eventing"]):
        console.print(table)


def _services(document: Status) -> Table:
    from tidegate.eventing_tables import table_of

    table = table_of("service", "revision", "traffic", "tags", "replicas", "why", "p50 / p99 ms")
    for name, service in document["services"].items():
        if not service["ready"]:
            table.add_row(name, "", "", "", "not ready", service["message"], "")
        for revision in service["revisions"]:
            table.add_row(name, revision["name"], f"{revision['percent']}%", " ".join(revision["tags"]), *_replicas_and_why(revision))
    return table


def _replicas_and_why(revision: RevisionStatus) -> tuple[str, str, str]:
    latency = revision["latency_ms"]
    shown = "-" if latency["p50"] is None else f"{latency['p50']:.1f} / {latency['p99'] or 0:.1f}"
    return f"{len(revision['replicas'])} of {revision['desired']}", revision["problem"] or revision["reason"], shown


def _workers(document: Status, lags: dict[str, dict[str, Any]]) -> Table:
    from tidegate.eventing_tables import table_of

    table = table_of("worker", "replicas", "why", "reads", "lag")
    for name, worker in document["deployments"].items():
        lag = lags.get(name)
        reads = (lag["topic"], f"{lag['records']:,} records, {lag['shown']}") if lag else ("", "")
        table.add_row(name, f"{len(worker['replicas'])} of {worker['desired']}", worker["problem"] or worker["reason"], *reads)
        for stream, found in lags.items():
            if stream.startswith(f"{name}/"):
                table.add_row(stream, "", "", found["topic"], f"{found['records']:,} records")
    return table
