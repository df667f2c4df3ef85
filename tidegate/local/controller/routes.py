"""Routing table of the gateway: the revisions of each host, by the traffic of its service."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from functions.runtime.knative.objects import traffic_targets
from tidegate.local.objects.validation import Object

Draw = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Route:
    """The revisions of a service.

    `shares` have their percentages, which add up to 100; `tags` are revisions by tag, of any percentage.
    """

    service: str
    shares: tuple[tuple[str, int], ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    def choose(self, draw: Draw = random.random) -> str:
        """Draw a revision for a request, as Knative does.

        A caller that needs a certain revision uses the host of its tag.
        """
        point = draw() * 100
        for revision, percent in self.shares:
            point -= percent
            if point < 0:
                return revision
        return self.shares[-1][0]

    @property
    def revisions(self) -> set[str]:
        return {revision for revision, _ in self.shares} | set(self.tags.values())


@dataclass(frozen=True, slots=True)
class Table:
    """Routes by host name, without a port."""

    hosts: Mapping[str, Route] = field(default_factory=dict)

    def find(self, host: str) -> Route | None:
        """The route of a Host header, with or without a port."""
        return self.hosts.get(host.partition(":")[0].lower())

    @property
    def names(self) -> list[str]:
        """The hosts under `.localhost`, for messages."""
        return sorted(host for host in self.hosts if host.endswith(".localhost"))


def table(services: Iterable[Object]) -> Table:
    """The routes of all services and tags, by the hosts that they have outside and inside a cluster."""
    hosts: dict[str, Route] = {}
    for service in services:
        route = route_of(service)
        if route is None:
            continue
        hosts |= dict.fromkeys(_hosts(route.service, service["metadata"]["namespace"]), route)
        for tag, revision in route.tags.items():
            single = Route(route.service, ((revision, 100),))
            hosts |= dict.fromkeys(_hosts(f"{tag}-{route.service}", service["metadata"]["namespace"]), single)
    return Table(hosts)


def route_of(service: Object) -> Route | None:
    """The route of a service by the traffic in its status, or None without traffic."""
    targets = traffic_targets(service.get("status", {}).get("traffic"))
    shares = tuple((target.revision, target.percent) for target in targets if target.percent)
    tags = {target.tag: target.revision for target in targets if target.tag}
    return Route(service["metadata"]["name"], shares, tags) if shares else None


def _hosts(label: str, namespace: str) -> list[str]:
    return [f"{label}.{suffix}" for suffix in ("localhost", namespace, f"{namespace}.svc", f"{namespace}.svc.cluster.local")]
