"""The order of the checks: what each finds as it is found, and what could not be looked at in its time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from urllib3.exceptions import HTTPError

from common.errors import TidegateError
from eventing.kafka.port import Broker
from tidegate import objects
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
from tidegate.doctor.finding import Finding, Level, of_error, ok
from tidegate.doctor.machine import environment, models, ports, streams
from tidegate.local.objects import manifests
from tidegate.local.state import Running
from tidegate.objects import Document

MACHINE, CLUSTER, DEPLOYMENT = "this machine", "the cluster", "these manifests on the cluster"
# A cluster's API answers in milliseconds; what takes longer is told as not looked at, and does not hold back the rest.
_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What is looked at. `cluster` is False for this machine alone; `running` is the `tidegate up` of this folder, if there is one."""

    manifests: str
    root: Path
    port: int
    broker: Broker | None
    running: Running | None = None
    cluster: bool = False
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """One check: what it is called when it could not be made, and how it is made."""

    subject: str
    check: Callable[[], Iterable[Finding]]
    without: Level = Level.NOTE
    """How bad it is if it could not be made: an error, for what all others need."""


Found = tuple[str, Finding]
"""A finding, after the name of its group."""


def run(settings: Settings) -> Iterator[Found]:
    documents: list[Document] = []
    for topic in _on_this_machine(settings, documents):
        yield from _grouped(MACHINE, topic)
    if not settings.cluster:
        yield CLUSTER, connection.not_looked_at()
        return
    yield from _on_a_cluster(settings, documents)


def watched(topic: Topic, seconds: float = _SECONDS) -> Iterator[Finding]:
    """The findings of a check. One that fails or takes too long is told, and left to itself: it never ends the others."""
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
    threading.Thread(target=_work, args=(topic, found), daemon=True).start()
    end = time.monotonic() + seconds
    while True:
        try:
            item = found.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            yield Finding(topic.without, topic.subject, f"could not be looked at within {seconds:g} s.")
            return
        if item is None:
            return
        yield item


def _work(topic: Topic, found: queue.SimpleQueue[Finding | None]) -> None:
    try:
        for item in topic.check():
            found.put(item)
    except (TidegateError, HTTPError) as reason:
        found.put(Finding(topic.without, topic.subject, f"could not be looked at: {reason}"))
    except Exception as reason:  # noqa: BLE001 a check that breaks must not hide the others
        found.put(Finding(topic.without, topic.subject, f"could not be looked at, by a fault of tidegate itself: {reason!r}"))
    finally:
        found.put(None)


def _grouped(group: str, topic: Topic) -> Iterator[Found]:
    for finding in watched(topic):
        yield group, finding


def _on_this_machine(settings: Settings, documents: list[Document]) -> Iterator[Topic]:
    """Fills `documents`."""
    yield Topic("Python", lambda: [environment.python()])
    yield Topic("packages", environment.packages)
    yield Topic("manifests", partial(_read, settings, documents), Level.ERROR)
    yield Topic("models", partial(models.check, documents, settings.root, needed=not settings.cluster))
    if settings.port:
        yield Topic("port", lambda: [ports.check(settings.port, settings.running, needed=not settings.cluster)])
    yield Topic("tools", environment.tools)
    if not settings.cluster or settings.broker:
        yield Topic("Kafka", partial(streams.check, settings.broker, documents))


def _read(settings: Settings, documents: list[Document]) -> Iterator[Finding]:
    try:
        documents += objects.read(settings.manifests)
    except TidegateError as problem:
        yield of_error("manifests", problem)
        return
    yield ok("manifests", f"{len(documents)} objects in {settings.manifests}")
    try:
        if settings.manifests != "-":  # which can be read only once
            manifests.load(settings.manifests)
    except TidegateError as problem:
        yield of_error("manifests", problem, Level.NOTE if settings.cluster else Level.ERROR)


def _on_a_cluster(settings: Settings, documents: list[Document]) -> Iterator[Found]:
    reached: list[Cluster] = []
    yield from _grouped(CLUSTER, Topic(connection.SUBJECT, partial(_reach, settings, documents, reached), Level.ERROR))
    for cluster in reached:
        yield from _look_at(cluster)


def _reach(settings: Settings, documents: list[Document], reached: list[Cluster]) -> Iterator[Finding]:
    """Fills `reached` when the API server answers. A kubeconfig may run a program to log in, which may hang as well as the server."""
    try:
        api, current = connect(settings.kubeconfig, settings.context)
    except NoCluster as problem:
        yield of_error("kubeconfig", problem)
        return
    for finding in connection.check(api):
        yield finding
        if finding.subject == connection.SUBJECT and finding.level is Level.OK:
            reached.append(Cluster(api, settings.namespace or namespace.intended(documents) or current, documents))


def _look_at(cluster: Cluster) -> Iterator[Found]:
    for topic in _of_the_cluster(cluster):
        yield from _grouped(CLUSTER, topic)
    for topic in _of_the_deployment(cluster):
        yield from _grouped(DEPLOYMENT, topic)


def _of_the_cluster(cluster: Cluster) -> list[Topic]:
    return [
        Topic("kinds", partial(api_resources.check, cluster)),
        Topic("Knative", partial(knative.check, cluster)),
        Topic("features", partial(features.check, cluster)),
        Topic("namespace", partial(namespace.check, cluster)),
        Topic("rights", partial(permissions.check, cluster)),
        Topic("quota", partial(namespace.room, cluster)),
    ]


def _of_the_deployment(cluster: Cluster) -> list[Topic]:
    return [
        Topic("dry run", partial(dryrun.check, cluster)),
        Topic("pods", partial(namespace.admitted, cluster)),
        Topic("rights of the router", partial(permissions.router, cluster)),
        Topic("references", partial(references.check, cluster)),
        Topic("images", partial(images.check, cluster.documents)),
        Topic("traffic", partial(traffic.check, cluster)),
        Topic("services", partial(services.check, cluster)),
        Topic("workers", partial(deployed.check, cluster)),
        Topic("overlays", partial(overlays.check, cluster)),
        Topic("Kafka", partial(streams.check_from_here, cluster.documents)),
    ]
