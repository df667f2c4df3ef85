"""ApiServerSources: the changes of objects in the API of `tidegate up`, as events."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping

from eventing.event import Event
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.eventing.delivery.policy import DeliveryPolicy
from tidegate.local.eventing.delivery.subscriber import Delivered, Subscriber
from tidegate.local.eventing.delivery.transport import Post
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.eventing import ApiServerSource
from tidegate.local.objects.kinds import BY_PLURAL, BY_VERSION
from tidegate.local.objects.resources import LabelSelector
from tidegate.local.objects.validation import Object

log = logging.getLogger("tidegate.eventing")

_VERBS = {"ADDED": "add", "MODIFIED": "update", "DELETED": "delete"}
# As in Knative's adapter: five retries, from 50 ms on.
_POLICY = DeliveryPolicy(retries=5, delay_seconds=0.025)
# Changes of a source that wait for their delivery. Further ones are dropped with a line in the log.
_MOST_WAITING = 1000


class ApiServerSources:
    """The runner of ApiServerSources. `api` is the URL of the API, which is the source of the events."""

    def __init__(self, store: Store, post: Post, api: str) -> None:
        self._post = post
        self._api = api
        self._sources: dict[tuple[str, str], _Source] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._unsubscribe = store.subscribe(self._on_change)

    def apply(self, item: ApiServerSource, context: Resolved) -> None:
        """Send the changes from now on to the sink."""
        namespace, name = item.metadata.namespace or "", item.metadata.name or ""
        self.delete(namespace, name)
        if context.sink is not None:
            subscriber = Subscriber(url=context.sink, dead_letter_sink=None, policy=_POLICY, namespace=namespace, post=self._post)
            self._sources[namespace, name] = _Source(item, subscriber)

    def delete(self, namespace: str, name: str) -> None:
        """Send no more changes, except those that wait."""
        source = self._sources.pop((namespace, name), None)
        if source:
            task = asyncio.create_task(source.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Deliver what waits."""
        self._unsubscribe()
        for namespace, name in tuple(self._sources):
            self.delete(namespace, name)
        await asyncio.gather(*self._closing)

    def _on_change(self, change: Change) -> None:
        for source in self._sources.values():
            if selects(source.item, change):
                source.put(event_of(source.item, change, self._api))


class _Source:
    """One source, which delivers its events in their order."""

    def __init__(self, item: ApiServerSource, subscriber: Subscriber) -> None:
        self.item = item
        self._subscriber = subscriber
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._deliver())

    def put(self, event: Event) -> None:
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put_nowait(event)
        else:
            log.warning("the ApiServerSource %s drops an event, since %d wait", self.item.metadata.name, _MOST_WAITING)

    async def close(self) -> None:
        self._waiting.put_nowait(None)
        await self._task

    async def _deliver(self) -> None:
        while (event := await self._waiting.get()) is not None:
            if await self._subscriber.deliver(event) is not Delivered.SUBSCRIBER:
                log.warning("the ApiServerSource %s: an event is lost: %s", self.item.metadata.name, self._subscriber.counts.last_failure)


def selects(item: ApiServerSource, change: Change) -> bool:
    """Whether a source sends a change: of one of its resources, in its namespace, or in all if it selects namespaces."""
    metadata = change.object["metadata"]
    if item.spec.namespace_selector is None and metadata["namespace"] != item.metadata.namespace:
        return False
    if item.spec.owner is not None and not _is_owned(metadata, item.spec.owner.api_version, item.spec.owner.kind):
        return False
    return any(
        BY_VERSION[selected.api_version, selected.kind].plural == change.resource and _matches(selected.selector, metadata)
        for selected in item.spec.resources
    )


def event_of(item: ApiServerSource, change: Change, api: str) -> Event:
    """The event of a change, by the types and attributes of Knative's adapter."""
    found, kind = change.object, BY_PLURAL[change.resource]
    metadata = found["metadata"]
    word = "resource" if item.spec.mode == "Resource" else "ref"
    reference = {"apiVersion": found["apiVersion"], "kind": found["kind"], "name": metadata["name"], "namespace": metadata["namespace"]}
    return Event(
        {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": api,
            "type": f"dev.knative.apiserver.{word}.{_VERBS[change.type]}",
            "subject": f"/apis/{found['apiVersion']}/namespaces/{metadata['namespace']}/{kind.plural}/{metadata['name']}",
            "datacontenttype": "application/json",
            "apiversion": found["apiVersion"],
            "kind": found["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            **(item.spec.ce_overrides.extensions if item.spec.ce_overrides else {}),
        },
        found if item.spec.mode == "Resource" else reference,
    )


def _matches(selector: LabelSelector | None, metadata: Object) -> bool:
    labels: Mapping[str, str] = metadata.get("labels") or {}
    return selector is None or selector.matches(labels)


def _is_owned(metadata: Object, api_version: str, kind: str) -> bool:
    owners = metadata.get("ownerReferences") or []
    return any((owner.get("apiVersion"), owner.get("kind")) == (api_version, kind) for owner in owners)
