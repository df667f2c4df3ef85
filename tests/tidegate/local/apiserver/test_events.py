from __future__ import annotations

from typing import Any

from tidegate.local.apiserver import events
from tidegate.local.apiserver.store import Store


def event(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"}, "involvedObject": {}}


def test_oldest_events_go_and_other_objects_stay() -> None:
    store = Store()
    store.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    store.create("events", event("zero"))
    events.bound(store, most=3)
    for name in ("one", "two"):
        store.create("events", event(name))
    store.delete("events", "one")
    for name in ("three", "four"):
        store.create("events", event(name))
    assert [item["metadata"]["name"] for item in store.list("events")] == ["four", "three", "two"]
    assert len(store.list("configmaps")) == 1
