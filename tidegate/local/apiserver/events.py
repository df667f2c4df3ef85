"""Events of Kubernetes: what happened to objects. The newest are kept; a cluster keeps those of the last hour."""

from __future__ import annotations

from tidegate.local.apiserver.store import Change, Store
from tidegate.local.objects.kinds import EVENTS

MOST_EVENTS = 1_000


def bound(store: Store, most: int = MOST_EVENTS) -> None:
    """Delete the oldest Event whenever the store has more than `most`."""
    kept = {_key(item): None for item in store.list(EVENTS)}

    def follow(change: Change) -> None:
        if change.resource != EVENTS:
            return
        if change.type == "DELETED":
            kept.pop(_key(change.object), None)
        elif change.type == "ADDED":
            kept[_key(change.object)] = None
            while len(kept) > most:
                namespace, name = next(iter(kept))
                store.delete(EVENTS, name, namespace)

    store.subscribe(follow)


def _key(item: dict[str, dict[str, str]]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
