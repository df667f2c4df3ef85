"""Objects in memory with Kubernetes' guarantees: resource versions, generations and watches.

Objects are replaced, never changed in place, so that a caller may keep one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of an object of a resource (`services`, `revisions`) at a version."""

    version: int
    type: ChangeType
    resource: str
    object: Object


class Store:
    """A store of objects by resource and name.

    A watch may be up to `history` changes behind; beyond that it fails with 410, as on a cluster.
    """

    def __init__(self, history: int = 2000) -> None:
        self.version = 1
        self._objects: dict[tuple[str, str], Object] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after each change, before the call that made it returns. The result ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def list(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of a resource, sorted by name."""
        return [
            item
            for (kind, _), item in sorted(self._objects.items(), key=lambda pair: pair[0])
            if kind == resource and namespace in (None, item["metadata"]["namespace"])
        ]

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Return an object. Raises StatusError 404."""
        item = self._objects.get((resource, name))
        if item is None or namespace not in (None, item["metadata"]["namespace"]):
            raise StatusError.not_found(resource, name)
        return item

    def create(self, resource: str, item: Object) -> Object:
        """Store a new object. Raises StatusError 409 if the name exists in any namespace, since a name is a host."""
        name = item["metadata"]["name"]
        if (resource, name) in self._objects:
            raise StatusError.exists(resource, name)
        metadata = {
            "namespace": DEFAULT_NAMESPACE,
            **item["metadata"],
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": now(),
        }
        return self._put("ADDED", resource, {**item, "metadata": metadata})

    def update(self, resource: str, item: Object) -> Object:
        """Replace an object, except its status.

        Raises StatusError 404, or 409 if `metadata.resourceVersion` is not the stored one.
        """
        self.check_version(resource, item)
        metadata = item["metadata"]
        old = self.get(resource, metadata["name"], metadata.get("namespace"))
        kept = old["metadata"]
        changed = item.get("spec") != old.get("spec")
        owned = {field: kept[field] for field in ("namespace", "uid", "creationTimestamp", "resourceVersion")}
        new: Object = {**item, "metadata": {**metadata, **owned, "generation": kept["generation"] + changed}}
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
        return old if new == old else self._put("MODIFIED", resource, new)

    def check_version(self, resource: str, item: Object) -> None:
        """Raise StatusError 409 if the object has another version than the stored one; an object without one passes."""
        name, given = item["metadata"]["name"], item["metadata"].get("resourceVersion")
        if given and given != self.get(resource, name)["metadata"]["resourceVersion"]:
            raise StatusError.conflict(resource, name)

    def update_status(self, resource: str, name: str, status: Object) -> Object:
        """Replace the status of an object. Raises StatusError 404."""
        old = self.get(resource, name)
        if old.get("status") == status:
            return old
        return self._put("MODIFIED", resource, {**old, "metadata": dict(old["metadata"]), "status": status})

    def delete(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Remove an object and return its last state. Raises StatusError 404."""
        item = self.get(resource, name, namespace)
        del self._objects[resource, name]
        return self._record("DELETED", resource, {**item, "metadata": dict(item["metadata"])})

    async def watch(self, resource: str | None, since: int) -> AsyncIterator[Change]:
        """Yield the changes after a version, without end.

        Raises StatusError 410 if some of them are no longer in the history.
        """
        while True:
            changed = self._changed
            # The version, and the first element of the history, may change while the consumer handles a change.
            if since < self.version and (not self._history or self._history[0].version > since + 1):
                raise StatusError.gone(since, self._history[0].version if self._history else self.version)
            for change in [change for change in self._history if change.version > since]:
                since = change.version
                if resource in (None, change.resource):
                    yield change
            if since >= self.version:
                await changed.wait()

    def _put(self, type_: ChangeType, resource: str, item: Object) -> Object:
        self._objects[resource, item["metadata"]["name"]] = item
        return self._record(type_, resource, item)

    def _record(self, type_: ChangeType, resource: str, item: Object) -> Object:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        change = Change(version=self.version, type=type_, resource=resource, object=item)
        self._history.append(change)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in tuple(self._listeners):
            listener(change)
        return item


def now() -> str:
    """The current time, as in Kubernetes' objects (RFC 3339, in seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
