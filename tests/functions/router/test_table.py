from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from functions.router import table as table_module
from functions.router.table import Table
from functions.runtime.errors import NotReady, UnknownModel
from functions.runtime.knative.client import View


def service(*targets: tuple[str, str | None, int]) -> dict[str, Any]:
    traffic = [{"revisionName": revision, "tag": tag, "percent": percent} for revision, tag, percent in targets]
    return {"metadata": {"name": "flights"}, "spec": {}, "status": {"url": "http://flights.localhost", "traffic": traffic}}


async def test_the_first_request_waits_for_the_first_view() -> None:
    table = Table(first_view_seconds=30)
    asking = asyncio.create_task(table.find("flights"))
    await asyncio.sleep(0)
    assert not asking.done()
    table.update({"flights": service(("flights-00001", None, 100))})
    assert (await asking).stable.revision == "flights-00001"


async def test_the_wait_for_the_first_view_is_limited() -> None:
    with pytest.raises(NotReady, match="has not read the list"):
        await Table(first_view_seconds=0.01).find("flights")


async def test_the_last_known_arms_are_kept() -> None:
    table = Table(first_view_seconds=1)
    good = service(("flights-00001", "v1", 90), ("flights-00002", "v2", 10))
    table.update({"flights": good})
    table.update({"flights": service(("flights-00001", "v1", 90), ("flights-00002", None, 10))})
    assert [arm.percent for arm in (await table.find("flights")).split] == [90, 10]
    assert "flights-00002" in table.reasons["flights"]
    table.update({"flights": good})
    assert not table.reasons


async def test_traffic_that_does_not_add_up_keeps_the_last_known_arms(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(first_view_seconds=1)
    table.update({"flights": service(("flights-00001", "v1", 90), ("flights-00002", "v2", 10))})
    table.update({"flights": service(("flights-00001", "v1", 90), ("flights-00002", "v2", 20))})
    assert [arm.percent for arm in (await table.find("flights")).split] == [90, 10]
    assert "adds up to 110%, not to 100%" in caplog.text
    assert "Keeping its last known arms." in caplog.text


async def test_a_model_without_arms_has_a_reason_and_a_deleted_one_is_unknown() -> None:
    table = Table(first_view_seconds=1)
    table.update({"flights": service()})
    with pytest.raises(NotReady, match="no revision that is ready"):
        await table.find("flights")
    table.update({})
    with pytest.raises(UnknownModel, match="unknown model flights; known models: none"):
        await table.find("flights")


async def test_a_bug_is_logged_and_the_watch_restarted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(table_module, "_PAUSE_SECONDS", 0)
    script: list[View] = [{"flights": {"no": "metadata"}}, {"flights": service(("flights-00001", None, 100))}]

    async def watch() -> AsyncGenerator[View]:
        yield script.pop(0)
        await asyncio.Event().wait()

    table = Table(first_view_seconds=30)
    following = asyncio.create_task(table.follow(watch))
    assert (await table.find("flights")).stable.revision == "flights-00001"
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert "keeping the last known arms and restarting it" in caplog.text


async def test_a_warning_of_a_model_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(first_view_seconds=1)
    entry = service(("flights-00001", None, 100))
    entry["metadata"]["annotations"] = {"tidegate.dev/latency-slo": "fast"}
    for _ in range(3):
        table.update({"flights": entry})
    assert [record.getMessage()[:40] for record in caplog.records if record.levelname == "WARNING"] == [
        "model flights: tidegate.dev/latency-slo "
    ]
