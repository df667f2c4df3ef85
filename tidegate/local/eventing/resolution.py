"""The destinations and references of an object, found in its model and resolved to URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.local.eventing.addressing import BROKERS, Find, Unresolved, kind_of, resolve
from tidegate.local.objects.destinations import destinations
from tidegate.local.objects.eventing import Trigger
from tidegate.local.objects.resources import Manifest, ObjectReference


class Key(NamedTuple):
    """The identity of an object in the store."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The URLs of an object's destinations by their paths, and the problems of those that have none."""

    urls: Mapping[str, str]
    problems: Mapping[str, Unresolved]


def resolution_of(model: Manifest, namespace: str, find: Find) -> Resolution:
    """Resolve every destination of an object."""
    urls, problems = {}, {}
    for path, destination in destinations(model):
        try:
            urls[path] = resolve(destination, namespace, find)
        except Unresolved as error:
            problems[path] = error
    return Resolution(urls=urls, problems=problems)


def references(model: Manifest, namespace: str) -> frozenset[Key]:
    """The objects on which the status of an object depends."""
    found = {key for _, destination in destinations(model) if (key := _key(destination.ref, namespace))}
    if isinstance(model, Trigger):
        found.add(broker_of(model, namespace))
    return frozenset(found)


def broker_of(trigger: Trigger, namespace: str) -> Key:
    """The Broker of a Trigger, which need not exist."""
    ref = trigger.spec.broker_ref
    return Key(BROKERS, (ref.namespace if ref else None) or namespace, ref.name if ref else trigger.spec.broker)


def _key(ref: ObjectReference | None, namespace: str) -> Key | None:
    kind = kind_of(ref) if ref else None
    return Key(kind.plural, ref.namespace or namespace, ref.name or "") if ref and kind else None
