from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.event import Event
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.eventing.delivery.transport import Answer
from tidegate.local.eventing.runner import Resolved
from tidegate.local.eventing.sources.api_server_source import ApiServerSources, selects
from tidegate.local.objects.eventing import ApiServerSource

Object = dict[str, Any]
API = "http://127.0.0.1:6443"
SERVICES = {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}


def source(**spec: Any) -> ApiServerSource:
    whole = {"sink": {"uri": "http://sink"}, "resources": [SERVICES], **spec}
    metadata = {"name": "changes", "namespace": "default"}
    return ApiServerSource.model_validate(
        {"apiVersion": "sources.knative.dev/v1", "kind": "ApiServerSource", "metadata": metadata, "spec": whole}
    )


def service(name: str = "hello", **metadata: Any) -> Object:
    return {**SERVICES, "metadata": {"name": name, **metadata}, "spec": {"x": 1}}


class Sink:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, url: str, message: Message) -> Answer:
        self.events.extend(http.decode(message, Mode.BINARY))
        return Answer(status=202, headers={}, body=b"")


async def sent(item: ApiServerSource) -> list[Event]:
    """The events of a source for a service that is created, changed and deleted."""
    store, sink = Store(), Sink()
    store.create("services", service("before"))
    sources = ApiServerSources(store, sink, API)
    sources.apply(item, Resolved(sink="http://sink"))
    store.create("services", service())
    store.update("services", {**service(), "spec": {"x": 2}})
    store.create("brokers", {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b"}})
    store.delete("services", "hello")
    await sources.close()
    store.create("services", service("after"))
    return sink.events


async def test_references_are_sent_for_later_changes_only() -> None:
    events = await sent(source())
    assert [event.type for event in events] == [f"dev.knative.apiserver.ref.{verb}" for verb in ("add", "update", "delete")]
    assert len({event.id for event in events}) == 3
    first = events[0]
    assert first.source == API
    assert first.get("subject") == "/apis/serving.knative.dev/v1/namespaces/default/services/hello"
    assert [first.get(name) for name in ("apiversion", "kind", "name", "namespace")] == [*SERVICES.values(), "hello", "default"]
    assert first.value() == {**SERVICES, "name": "hello", "namespace": "default"}


async def test_resource_mode_sends_whole_objects_with_overrides() -> None:
    events = await sent(source(mode="Resource", ceOverrides={"extensions": {"team": "a"}}))
    assert events[1].type == "dev.knative.apiserver.resource.update"
    assert events[1].value()["spec"] == {"x": 2}
    assert events[1].get("team") == "a"


@pytest.mark.parametrize(
    ("spec", "metadata", "selected"),
    [
        ({}, {}, True),
        ({}, {"namespace": "other"}, False),
        ({"namespaceSelector": {}}, {"namespace": "other"}, True),
        ({"resources": [{**SERVICES, "selector": {"matchLabels": {"a": "b"}}}]}, {"labels": {"a": "b"}}, True),
        ({"resources": [{**SERVICES, "selector": {"matchLabels": {"a": "b"}}}]}, {"labels": {"a": "c"}}, False),
        ({"owner": {"apiVersion": "v1", "kind": "X"}}, {"ownerReferences": [{"apiVersion": "v1", "kind": "X"}]}, True),
        ({"owner": {"apiVersion": "v1", "kind": "X"}}, {}, False),
    ],
    ids=["plain", "other-namespace", "all-namespaces", "label", "other-label", "owned", "not-owned"],
)
def test_changes_are_selected(spec: Object, metadata: Object, selected: bool) -> None:
    change = Change(version=1, type="ADDED", resource="services", object=service(**{"namespace": "default", **metadata}))
    assert selects(source(**spec), change) is selected


async def test_source_without_a_sink_sends_nothing() -> None:
    store, sink = Store(), Sink()
    sources = ApiServerSources(store, sink, API)
    sources.apply(source(), Resolved())
    store.create("services", service())
    await sources.close()
    await asyncio.sleep(0)
    assert sink.events == []
