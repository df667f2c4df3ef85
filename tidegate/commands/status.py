"""`tidegate status`: what runs, why, and how far the stream is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir

if TYPE_CHECKING:
    from rich.table import Table

    from tidegate.local.state import Running
    from tidegate.local.status import ReplicaStatus, RevisionStatus, Status


def status(
    topic: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TIDEGATE_TOPIC", help="A topic whose stream's lag to show. Left out: the inputs of the running stream workers."
        ),
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show what runs, why, and the streams' lag.

    For each service its revisions, traffic and replicas, and the reason why there are so many.
    """
    import orjson

    from tidegate.commands.options import running

    found = running(state_dir)
    seen = read_status(found)
    lags = read_lags(found, topic or [])
    if as_json:
        print(orjson.dumps({**seen, "lag": lags}, option=orjson.OPT_INDENT_2).decode())
        return
    _show(seen, lags)


def read_status(found: Running) -> Status:
    """The status document of a running `tidegate up`."""
    from typing import cast
    from urllib.request import urlopen

    import orjson

    with urlopen(f"{found.api}/tidegate/status", timeout=10) as response:
        return cast("Status", orjson.loads(response.read()))


def replicas(seen: Status) -> Iterator[tuple[str, ReplicaStatus]]:
    """Every process, with the name of its service or deployment."""
    for name, service in seen["services"].items():
        for revision in service["revisions"]:
            yield from ((name, replica) for replica in revision["replicas"])
    for name, deployment in seen["deployments"].items():
        yield from ((name, replica) for replica in deployment["replicas"])


def read_lags(found: Running, topics: list[str]) -> dict[str, dict[str, Any]]:
    """By topic: records behind, and the next and committed offset of each partition."""
    from dataclasses import asdict

    from eventing.lag import LagReader
    from tidegate.commands.options import broker_of
    from tidegate.publishing import group_of

    lags: dict[str, dict[str, Any]] = {}
    for topic in topics:
        with LagReader(broker_of(found), group_of(topic)) as reader:
            partitions = reader.read(topic)
        lags[topic] = {
            "records": sum(lag.records for lag in partitions.values()),
            "partitions": {number: asdict(lag) for number, lag in partitions.items()},
        }
    return lags


def _show(seen: Status, lags: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"gateway {seen['gateway']}   Kafka {seen['bootstrap_servers']} ({seen['kafka']})", soft_wrap=True)
    console.print(_services(seen))
    console.print(_workers(seen, lags))


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _services(seen: Status) -> Table:
    table = _table("service", "revision", "traffic", "tags", "replicas", "why", "p50 / p99 ms")
    for name, service in seen["services"].items():
        if not service["ready"]:
            table.add_row(name, "", "", "", "not ready", service["message"], "")
        for revision in service["revisions"]:
            table.add_row(name, revision["name"], f"{revision['percent']}%", " ".join(revision["tags"]), *_replicas_and_why(revision))
    return table


def _replicas_and_why(revision: RevisionStatus) -> tuple[str, str, str]:
    latency = revision["latency_ms"]
    shown = "-" if latency["p50"] is None else f"{latency['p50']:.1f} / {latency['p99'] or 0:.1f}"
    return f"{len(revision['replicas'])} of {revision['desired']}", revision["problem"] or revision["reason"], shown


def _workers(seen: Status, lags: dict[str, dict[str, Any]]) -> Table:
    table = _table("stream worker", "replicas", "crashes", "why")
    for name, worker in seen["deployments"].items():
        table.add_row(
            name, f"{len(worker['replicas'])} of {worker['desired']}", str(worker["crashes"]), worker["problem"] or worker["reason"]
        )
    for topic, lag in lags.items():
        table.add_row(f"lag of {topic}", f"{lag['records']:,}", "", f"records, over {len(lag['partitions'])} partitions")
    return table
