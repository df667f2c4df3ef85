from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Change, Store


def thing(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"x": 1}, **fields}


async def take(store: Store, since: int, count: int) -> list[Change]:
    changes: list[Change] = []
    async with asyncio.timeout(5):
        async for change in store.watch("things", since):
            changes.append(change)
            if len(changes) == count:
                break
    return changes


async def test_generation_counts_changes_of_the_spec() -> None:
    store = Store()
    created = store.create("things", thing())
    labelled = store.update("things", {**thing(), "metadata": {"name": "a", "labels": {"l": "1"}}})
    changed = store.update("things", thing(spec={"x": 2}))
    reported = store.update_status("things", "a", {"ok": True})
    assert [item["metadata"]["generation"] for item in (created, labelled, changed, reported)] == [1, 1, 2, 2]
    assert len({item["metadata"]["resourceVersion"] for item in (created, labelled, changed, reported)}) == 4
    assert reported["metadata"]["uid"] == created["metadata"]["uid"]


async def test_update_without_changes_keeps_the_version() -> None:
    store = Store()
    created = store.create("things", thing())
    assert store.update("things", created)["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_update_keeps_the_status() -> None:
    store = Store()
    store.create("things", thing())
    store.update_status("things", "a", {"ok": True})
    assert store.update("things", thing(spec={"x": 3}, status={"ok": False}))["status"] == {"ok": True}


async def test_write_of_an_old_version_is_a_conflict() -> None:
    store = Store()
    seen = store.create("things", thing())
    store.update("things", {**seen, "spec": {"x": 2}})
    with pytest.raises(StatusError) as caught:
        store.update("things", {**seen, "spec": {"x": 3}})
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


async def test_existing_name_is_refused() -> None:
    store = Store()
    store.create("things", thing())
    with pytest.raises(StatusError) as caught:
        store.create("things", thing())
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")


async def test_a_restored_object_keeps_its_identity_and_status() -> None:
    store, later = Store(), Store()
    store.create("things", thing())
    old = store.update_status("things", "a", {"done": True})
    restored = later.restore("things", old)
    assert restored["metadata"]["resourceVersion"] == str(later.version)
    assert {**restored, "metadata": {**restored["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}} == old
    with pytest.raises(StatusError) as caught:
        later.restore("things", old)
    assert caught.value.code == 409


async def test_watch_yields_past_and_future_changes() -> None:
    store = Store()
    start = store.version
    store.create("things", thing())
    store.create("others", thing())
    watching = asyncio.create_task(take(store, start, 3))
    await asyncio.sleep(0)
    store.update("things", thing(spec={"x": 2}))
    store.delete("things", "a")
    assert [change.type for change in await watching] == ["ADDED", "MODIFIED", "DELETED"]


async def test_watch_too_far_behind_is_gone() -> None:
    store = Store(history=2)
    for number in range(4):
        store.create("things", thing(f"t{number}"))
    with pytest.raises(StatusError) as caught:
        await take(store, 1, 1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert [change.object["metadata"]["name"] for change in await take(store, store.version - 2, 2)] == ["t2", "t3"]


def test_subscriber_gets_each_change_until_it_ends_its_subscription() -> None:
    store = Store()
    changes: list[Change] = []
    end = store.subscribe(changes.append)
    created = store.create("things", thing())
    assert [(change.type, change.object) for change in changes] == [("ADDED", created)]
    end()
    store.delete("things", "a")
    assert len(changes) == 1


def test_name_can_be_in_several_namespaces_unless_it_is_a_host() -> None:
    store = Store()
    for namespace in ("default", "other"):
        store.create("things", {**thing(), "metadata": {"name": "a", "namespace": namespace}})
    assert [item["metadata"]["namespace"] for item in store.list("things")] == ["default", "other"]
    assert len(store.list("things", "other")) == 1
    store.update_status("things", "a", {"ok": True}, "other")
    assert "status" not in store.get("things", "a", "default")
    store.delete("things", "a", "default")
    assert store.find("things", "a", "default") is None
    assert store.find("things", "a") is not None
    store.create("services", thing())
    with pytest.raises(StatusError, match="already exists"):
        store.create("services", {**thing(), "metadata": {"name": "a", "namespace": "other"}})
