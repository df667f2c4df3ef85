"""The status document at `/tidegate/status` on the port of the API."""

from __future__ import annotations

from typing import TypedDict

from functions.runtime.knative.objects import SERVICES, condition
from tidegate.local.controller.controller import Controller
from tidegate.local.controller.revision import Revision
from tidegate.local.controller.routes import route_of
from tidegate.local.eventing.overview import EventingStatus
from tidegate.local.objects.validation import Object
from tidegate.local.processes.pool import Pool
from tidegate.local.processes.replica import Replica


class ReplicaStatus(TypedDict):
    """A replica. Memory is in MiB, None where the system does not report it; `since` is an RFC 3339 time."""

    number: int
    pid: int
    port: int
    state: str
    since: str
    reason: str
    in_flight: int
    rss_mib: float | None
    peak_rss_mib: float | None


class ColdStart(TypedDict):
    """A cold start, in milliseconds since the process was spawned."""

    ready_ms: float
    first_answer_ms: float | None


class Latency(TypedDict):
    """Latency of the latest 5,000 requests through the gateway in milliseconds, including the wait for a replica."""

    count: int
    p50: float | None
    p99: float | None


class PoolStatus(TypedDict):
    """The replicas of a revision or a Deployment.

    `reason` explains `desired`; `problem` is set while no process can be started.
    """

    replicas: list[ReplicaStatus]
    desired: int
    reason: str
    problem: str | None
    starts: int
    stops: int
    crashes: int
    cold_starts: list[ColdStart]


class RevisionStatus(PoolStatus):
    name: str
    percent: int
    tags: list[str]
    held: int
    latency_ms: Latency


class ServiceStatus(TypedDict):
    url: str
    ready: bool
    message: str
    revisions: list[RevisionStatus]


class StreamStatus(TypedDict):
    topic: str
    output: str
    deadletter: str
    group: str
    model: str


class Status(TypedDict):
    """The whole document.

    `peak_rss_mib` is the largest memory of any replica, running or ended, by revision or Deployment.
    """

    gateway: str
    kafka: str
    bootstrap_servers: str
    in_flight: int
    services: dict[str, ServiceStatus]
    deployments: dict[str, PoolStatus]
    streams: dict[str, StreamStatus]
    eventing: EventingStatus
    peak_rss_mib: dict[str, float]


def services(controller: Controller) -> dict[str, ServiceStatus]:
    """The services by name."""
    return {item["metadata"]["name"]: _service(controller, item) for item in controller.store.list(SERVICES)}


def pool(pool_: Pool) -> PoolStatus:
    """The replicas of a pool."""
    starts = [r for r in (*pool_.ended, *pool_.replicas) if r.ready_ms is not None]
    return {
        "replicas": [_replica(replica) for replica in pool_.replicas],
        "desired": pool_.decision.desired,
        "reason": pool_.decision.reason,
        "problem": pool_.problem,
        "starts": pool_.counts.starts,
        "stops": pool_.counts.stops,
        "crashes": pool_.counts.crashes,
        "cold_starts": [{"ready_ms": r.ready_ms or 0.0, "first_answer_ms": r.first_answer_ms} for r in starts],
    }


def peaks(pools: dict[str, Pool]) -> dict[str, float]:
    """The peak memory of each pool in MiB, without pools that never had a replica."""
    found = {name: [r.process.peak_rss_mib() or 0.0 for r in (*pool_.ended, *pool_.replicas)] for name, pool_ in pools.items()}
    return {name: max(values) for name, values in found.items() if any(values)}


def _service(controller: Controller, item: Object) -> ServiceStatus:
    state = item.get("status", {})
    route = route_of(item)
    shares, tags = (dict(route.shares), route.tags) if route else ({}, {})
    ready = condition(item, "Ready") or {}
    revisions = [r for r in controller.revisions.values() if r.plan.service == item["metadata"]["name"]]
    return {
        "url": state.get("url", ""),
        "ready": ready.get("status") == "True",
        "message": ready.get("message", ""),
        "revisions": [
            _revision(r, shares.get(r.plan.name, 0), [tag for tag, name in tags.items() if name == r.plan.name]) for r in revisions
        ],
    }


def _revision(revision: Revision, percent: int, tags: list[str]) -> RevisionStatus:
    latencies = revision.latencies
    return {
        **pool(revision.pool),
        "name": revision.plan.name,
        "percent": percent,
        "tags": tags,
        "held": revision.held,
        "latency_ms": {"count": latencies.count, "p50": latencies.percentile(0.5), "p99": latencies.percentile(0.99)},
    }


def _replica(replica: Replica) -> ReplicaStatus:
    return {
        "number": replica.number,
        "pid": replica.process.pid,
        "port": replica.port,
        "state": replica.state.value,
        "since": replica.since,
        "reason": replica.reason,
        "in_flight": replica.in_flight,
        "rss_mib": replica.process.rss_mib(),
        "peak_rss_mib": replica.process.peak_rss_mib(),
    }
