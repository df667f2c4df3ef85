"""The order of the checks. A check that fails, or takes too long, does not affect the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from urllib3.exceptions import HTTPError

from common.errors import TidegateError
from eventing.kafka.port import Broker
from tidegate.doctor.cluster import (
    api_resources,
    connection,
    deployed,
    dryrun,
    features,
    images,
    knative,
    namespace,
    overlays,
    permissions,
    references,
    services,
    traffic,
)
from tidegate.doctor.cluster.client import Cluster, NoCluster, connect
from tidegate.doctor.cluster.target import Served, Target
from tidegate.doctor.finding import Finding, Findings, Level, of_error, ok
from tidegate.doctor.machine import environment, models, ports, streams
from tidegate.documents import Document, read_documents
from tidegate.local.objects import manifests
from tidegate.local.state import Running

MACHINE, CLUSTER, DEPLOYMENT = "this machine", "the cluster", "these manifests on the cluster"
# The limit of one check. A cluster's API answers in milliseconds.
_SECONDS = 15.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The scope of an inspection.

    `cluster` False is this machine alone; `running` is this folder's `tidegate up`, if there is one.
    """

    manifests: str
    root: Path
    port: int
    broker: Broker | None = None
    running: Running | None = None
    cluster: bool = False
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


# Without slots, with which a frozen class cannot be called by its type, as in Check[T](…), before Python 3.12.
@dataclass(frozen=True)
class Check(Generic[T]):
    """A check with its `default`, the result if it fails or takes too long; that is a finding at `failure_level`."""

    subject: str
    run: Callable[[], Findings[T]]
    default: T
    failure_level: Level = Level.NOTE


GroupedFinding = tuple[str, Finding]
"""A finding, after the name of its group."""

Grouped = Generator[GroupedFinding, None, T]
"""Findings with their group, and the result of the check."""


def run(settings: Settings) -> Iterator[GroupedFinding]:
    """Run all checks; yield each finding at once."""
    documents = yield from _inspect_machine(settings)
    if not settings.cluster:
        yield CLUSTER, connection.not_inspected()
        return
    reach = Check[Cluster | None](connection.SUBJECT, partial(_reach, settings, documents), None, Level.ERROR)
    cluster = yield from _grouped(CLUSTER, reach)
    if cluster is not None:
        target = yield from _inspect_cluster(cluster)
        yield from _inspect_deployment(target)


def watched(check: Check[T], seconds: float = _SECONDS) -> Findings[T]:
    """Run a check in a thread, with a limit on its time.

    Any failure becomes a finding. Returns the check's result or its default.
    """
    items: queue.SimpleQueue[Finding | _Done[T]] = queue.SimpleQueue()
    threading.Thread(target=_work, args=(check, items), daemon=True).start()
    end = time.monotonic() + seconds
    while True:
        try:
            item = items.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            yield Finding(check.failure_level, check.subject, f"could not be inspected within {seconds:g} s.")
            return check.default
        if isinstance(item, _Done):
            return item.result
        yield item


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    result: T


class _Returning(Generic[T]):
    """An iterator over a generator's items that keeps its return value in `result`."""

    def __init__(self, generator: Generator[Finding, None, T], default: T) -> None:
        self._generator = generator
        self.result = default

    def __iter__(self) -> Iterator[Finding]:
        self.result = yield from self._generator


def _work(check: Check[T], items: queue.SimpleQueue[Finding | _Done[T]]) -> None:
    result = check.default
    try:
        findings = _Returning(check.run(), check.default)
        for finding in findings:
            items.put(finding)
        result = findings.result
    except (TidegateError, HTTPError) as reason:
        items.put(Finding(check.failure_level, check.subject, f"could not be inspected: {reason}"))
    except Exception as reason:  # noqa: BLE001 a check that fails must not hide the others
        items.put(Finding(check.failure_level, check.subject, f"could not be inspected, by a bug in tidegate: {reason!r}"))
    finally:
        items.put(_Done(result))


def _grouped(group: str, check: Check[T]) -> Grouped[T]:
    findings = _Returning(watched(check), check.default)
    for finding in findings:
        yield group, finding
    return findings.result


def _single(finding: Callable[[], Finding]) -> Findings[None]:
    yield finding()


def _inspect_machine(settings: Settings) -> Grouped[list[Document]]:
    """Check this machine. Returns the manifests, as far as they can be read."""
    yield from _grouped(MACHINE, Check("Python", partial(_single, environment.check_python), None))
    yield from _grouped(MACHINE, Check("packages", environment.check_packages, None))
    documents = yield from _grouped(MACHINE, Check[list[Document]]("manifests", partial(_read, settings), [], Level.ERROR))
    needed = not settings.cluster
    yield from _grouped(MACHINE, Check("models", partial(models.check, documents, settings.root, needed=needed), None))
    if settings.port:
        port = partial(ports.check, settings.port, settings.running, needed=needed)
        yield from _grouped(MACHINE, Check("port", partial(_single, port), None))
    yield from _grouped(MACHINE, Check("tools", environment.check_tools, None))
    if not settings.cluster or settings.broker:
        yield from _grouped(MACHINE, Check("Kafka", partial(streams.check, settings.broker, documents), None))
    return documents


def _read(settings: Settings) -> Findings[list[Document]]:
    try:
        documents = read_documents(settings.manifests)
    except TidegateError as problem:
        yield of_error("manifests", problem)
        return []
    yield ok("manifests", f"{len(documents)} objects in {settings.manifests}")
    try:
        if settings.manifests != "-":  # which can be read only once
            manifests.load(settings.manifests)
    except TidegateError as problem:
        yield of_error("manifests", problem, Level.NOTE if settings.cluster else Level.ERROR)
    return documents


def _reach(settings: Settings, documents: list[Document]) -> Findings[Cluster | None]:
    """Connect to the cluster. A kubeconfig may run a program to log in, which may hang as the server may."""
    try:
        api, current = connect(settings.kubeconfig, settings.context)
    except NoCluster as problem:
        yield of_error("kubeconfig", problem)
        return None
    reachable = yield from connection.check(api)
    return Cluster(api, settings.namespace or namespace.intended(documents) or current, documents) if reachable else None


def _inspect_cluster(cluster: Cluster) -> Grouped[Target]:
    """Check what the manifests need of the cluster."""
    served = yield from _grouped(CLUSTER, Check[Served]("kinds", partial(api_resources.check, cluster), {}))
    yield from _grouped(CLUSTER, Check("Knative", partial(knative.check, cluster, served), None))
    yield from _grouped(CLUSTER, Check("features", partial(features.check, cluster), None))
    has_namespace = yield from _grouped(CLUSTER, Check("namespace", partial(namespace.check, cluster), True))
    forbidden = yield from _grouped(CLUSTER, Check(permissions.SUBJECT, partial(permissions.check, cluster, served), set[str]()))
    if has_namespace:
        yield from _grouped(CLUSTER, Check("quota", partial(namespace.check_quota, cluster), None))
    return Target(cluster=cluster, served=served, has_namespace=has_namespace, forbidden=forbidden)


def _inspect_deployment(target: Target) -> Iterator[GroupedFinding]:
    """Check the manifests against the objects of the cluster."""
    cluster = target.cluster
    checks = [
        Check("dry run", partial(dryrun.check, target), None),
        *([Check("pods", partial(namespace.check_admission, cluster), None)] if target.has_namespace else []),
        Check(permissions.ROUTER_SUBJECT, partial(permissions.check_router, cluster), None),
        Check("references", partial(references.check, target), None),
        Check("images", partial(images.check, cluster.documents), None),
        Check("traffic", partial(traffic.check, target), None),
        Check("services", partial(services.check, target), None),
        Check("workers", partial(deployed.check, target), None),
        Check("overlays", partial(overlays.check, target), None),
        Check("Kafka", partial(streams.check_named, cluster.documents), None),
    ]
    for check in checks:
        yield from _grouped(DEPLOYMENT, check)
