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

from functions.runtime.knative.objects import REVISIONS, SERVICES
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
# The name of a service or a revision is a host of the gateway, so it cannot be in two namespaces.
_HOSTS = (SERVICES, REVISIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of an object of a resource (`services`, `brokers`) at a version."""

    version: int
    type: ChangeType
    resource: str
    object: Object


class Store:
    """A store of objects by resource, namespace and name.

    A watch may be up to `history` changes behind; beyond that it fails with 410, as on a cluster.
    """

    def __init__(self, history: int = 2000) -> None:
        self.version = 1
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after each change, before the call that made it returns. The result ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def list(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of a resource, sorted by namespace and name."""
        return [item for key, item in sorted(self._objects.items()) if key[0] == resource and namespace in (None, key[1])]

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Return an object, of any namespace if none is named. Raises StatusError 404."""
        item = self.find(resource, name, namespace)
        if item is None:
            raise StatusError.not_found(resource, name)
        return item

    def find(self, resource: str, name: str, namespace: str | None = None) -> Object | None:
        """An object, of any namespace if none is named, or None."""
        if namespace is not None:
            return self._objects.get((resource, namespace, name))
        return next((item for key, item in self._objects.items() if key[0] == resource and key[2] == name), None)

    def create(self, resource: str, item: Object) -> Object:
        """Store a new object. Raises StatusError 409 if the name exists, for a service or revision in any namespace."""
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace", DEFAULT_NAMESPACE)
        if self.find(resource, name, None if resource in _HOSTS else namespace):
            raise StatusError.exists(resource, name)
        metadata = {
            "namespace": DEFAULT_NAMESPACE,
            **item["metadata"],
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": now(),
        }
        return self._put("ADDED", resource, {**item, "metadata": metadata})

    def restore(self, resource: str, item: Object) -> Object:
        """Store an object of an earlier store, with its identity and status. Raises StatusError 409 as `create` does."""
        metadata = item["metadata"]
        if self.find(resource, metadata["name"], metadata["namespace"]):
            raise StatusError.exists(resource, metadata["name"])
        return self._put("ADDED", resource, {**item, "metadata": dict(metadata)})

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
        metadata = item["metadata"]
        given = metadata.get("resourceVersion")
        if given and given != self.get(resource, metadata["name"], metadata.get("namespace"))["metadata"]["resourceVersion"]:
            raise StatusError.conflict(resource, metadata["name"])

    def update_status(self, resource: str, name: str, status: Object, namespace: str | None = None) -> Object:
        """Replace the status of an object. Raises StatusError 404."""
        old = self.get(resource, name, namespace)
        if old.get("status") == status:
            return old
        return self._put("MODIFIED", resource, {**old, "metadata": dict(old["metadata"]), "status": status})

    def delete(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Remove an object and return its last state. Raises StatusError 404."""
        item = self.get(resource, name, namespace)
        del self._objects[resource, item["metadata"]["namespace"], name]
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
        self._objects[resource, item["metadata"]["namespace"], item["metadata"]["name"]] = item
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
