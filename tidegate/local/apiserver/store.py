"""Objects in memory, with what Kubernetes promises about them: resource versions, generations and watches.

Objects are replaced, never changed in place: whoever holds one may keep it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tidegate.local.apiserver.failure import Failure
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an object of a resource (`services`, `revisions`) at a version."""

    version: int
    type: ChangeType
    resource: str
    object: Object


class Store:
    """`listener` is called after each change, in the turn of whoever made it.

    `history` bounds how many changes a watch may lie behind; beyond it the watch fails with 410, as on a cluster.
    """

    def __init__(self, history: int = 2000) -> None:
        self.version = 1
        self._objects: dict[tuple[str, str], Object] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._changed = asyncio.Event()
        self.listener: Callable[[Change], None] = _nobody

    def list(self, resource: str, namespace: str | None = None) -> list[Object]:
        return [
            item
            for (kind, _), item in sorted(self._objects.items(), key=lambda pair: pair[0])
            if kind == resource and namespace in (None, item["metadata"]["namespace"])
        ]

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Raises Failure 404."""
        item = self._objects.get((resource, name))
        if item is None or namespace not in (None, item["metadata"]["namespace"]):
            raise Failure.not_found(resource, name)
        return item

    def create(self, resource: str, item: Object) -> Object:
        """Raises Failure 409 when the name is taken, in whichever namespace: a name is a host here."""
        name = item["metadata"]["name"]
        if (resource, name) in self._objects:
            raise Failure.exists(resource, name)
        metadata = {
            "namespace": DEFAULT_NAMESPACE,
            **item["metadata"],
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": now(),
        }
        return self._put("ADDED", resource, {**item, "metadata": metadata})

    def update(self, resource: str, item: Object) -> Object:
        """Replaces all but the status. Raises Failure 404, or 409 when `metadata.resourceVersion` is not the stored one."""
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
        """Raises Failure 409 when the object names another version than the stored one; naming none overwrites."""
        name, given = item["metadata"]["name"], item["metadata"].get("resourceVersion")
        if given and given != self.get(resource, name)["metadata"]["resourceVersion"]:
            raise Failure.conflict(resource, name)

    def update_status(self, resource: str, name: str, status: Object) -> Object:
        old = self.get(resource, name)
        if old.get("status") == status:
            return old
        return self._put("MODIFIED", resource, {**old, "metadata": dict(old["metadata"]), "status": status})

    def delete(self, resource: str, name: str, namespace: str | None = None) -> Object:
        item = self.get(resource, name, namespace)
        del self._objects[resource, name]
        return self._record("DELETED", resource, {**item, "metadata": dict(item["metadata"])})

    async def watch(self, resource: str | None, since: int) -> AsyncIterator[Change]:
        """Changes after a version, for ever. Raises Failure 410 when some of them are no longer known."""
        while True:
            changed = self._changed
            # A new version, and so a new first element, may come while the consumer holds a change.
            if since < self.version and (not self._history or self._history[0].version > since + 1):
                raise Failure.gone(since, self._history[0].version if self._history else self.version)
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
        change = Change(self.version, type_, resource, item)
        self._history.append(change)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self.listener(change)
        return item


def _nobody(change: Change) -> None:
    """Listens to nothing."""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
