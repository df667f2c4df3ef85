"""The controller of Knative Eventing's objects: it resolves destinations, writes statuses, and calls the runners."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from functions.runtime.knative.objects import SERVICES
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.eventing import status
from tidegate.local.eventing.addressing import INGRESSES
from tidegate.local.eventing.resolution import Key, Resolution, broker_of, references, resolution_of
from tidegate.local.eventing.runner import Condition, Report, Resolved, Runner
from tidegate.local.objects.eventing import Broker, DeliverySpec, Trigger
from tidegate.local.objects.kinds import BY_PLURAL, BY_VERSION
from tidegate.local.objects.resources import Manifest
from tidegate.local.objects.validation import Object, parse

log = logging.getLogger("tidegate.local")

TRIGGERS, JOBS = "triggers", "jobs"
# The fields of the metadata that a runner may read. The others change with each write.
_KEPT = ("name", "namespace", "uid", "generation", "labels", "annotations")
# Objects whose address or readiness others depend on.
_REFERRED = (SERVICES, *INGRESSES)


class EventingController:
    """The controller of a store. `port` is the gateway's, which is part of each address.

    Each change is reconciled before the call that made it returns, so that its result is complete.
    """

    def __init__(self, store: Store, port: int) -> None:
        self._store = store
        self._port = port
        self._runners: Mapping[str, Runner[Any]] = {}
        self._applied: dict[Key, tuple[Manifest, Resolved]] = {}
        self._reported: dict[Key, dict[str, Condition]] = {}
        self._references: dict[Key, frozenset[Key]] = {}
        self._queue: dict[Key, None] = {}
        self._working = False

    def reporter(self, resource: str) -> Report:
        """The function by which the runner of a resource reports conditions."""
        return partial(self._report, resource)

    def run(self, runners: Mapping[str, Runner[Any]]) -> None:
        """Let these run the objects of their resources. They are closed in this order. Call it before `start`."""
        self._runners = runners

    def start(self) -> None:
        """Reconcile each change of the store from now on."""
        self._unsubscribe = self._store.subscribe(self._on_change)

    async def close(self) -> None:
        """Let each runner finish what is in flight, one after the other, and stop reconciling."""
        for runner in self._runners.values():
            await runner.close()
        self._unsubscribe()

    def _on_change(self, change: Change) -> None:
        metadata = change.object["metadata"]
        key = Key(change.resource, metadata["namespace"], metadata["name"])
        if status.has_status(change.resource) or change.resource in self._runners:
            self._queue[key] = None
        if change.resource in _REFERRED:
            self._queue |= dict.fromkeys(dependent for dependent, found in self._references.items() if key in found)
        if not self._working:
            self._work()

    def _work(self) -> None:
        """Reconcile the queued objects, including those that reconciling itself queues, until none is left."""
        self._working = True
        while self._queue:
            key = next(iter(self._queue))
            del self._queue[key]
            try:
                self._reconcile(key)
            except Exception:  # an object that fails must not block the others
                log.exception("cannot reconcile %s %s", BY_PLURAL[key.resource].kind, key.name)
        self._working = False

    def _reconcile(self, key: Key) -> None:
        item = self._find(*key)
        if item is None:
            self._forget(key)
            return
        model = _model(item)
        self._references[key] = references(model, key.namespace)
        resolution = resolution_of(model, key.namespace, self._find)
        broker = self._find(*broker_of(model, key.namespace)) if isinstance(model, Trigger) else None
        self._run(key, model, _context(model, resolution, broker))
        if status.has_status(key.resource):
            view = status.View(
                resource=key.resource,
                item=item,
                model=model,
                resolution=resolution,
                port=self._port,
                broker=broker,
                reported=self._reported.get(key, {}),
            )
            self._store.update_status(key.resource, key.name, status.status_of(view), key.namespace)

    def _run(self, key: Key, model: Manifest, context: Resolved | None) -> None:
        """Apply an object that has changed. One without a context, a Trigger without its Broker, is not run."""
        runner = self._runners.get(key.resource)
        if runner is None:
            return
        if context is None:
            if self._applied.pop(key, None):
                runner.delete(key.namespace, key.name)
            return
        if self._applied.get(key) != (model, context):
            self._applied[key] = (model, context)
            runner.apply(model, context)

    def _forget(self, key: Key) -> None:
        self._references.pop(key, None)
        self._reported.pop(key, None)
        if self._applied.pop(key, None):
            self._runners[key.resource].delete(key.namespace, key.name)

    def _report(self, resource: str, namespace: str, name: str, condition: Condition) -> None:
        key = Key(resource, namespace, name)
        if self._find(*key) is None:
            return
        known = self._reported.setdefault(key, {})
        if known.get(condition.type) != condition:
            known[condition.type] = condition
            self._queue[key] = None
            if not self._working:
                self._work()

    def _find(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._store.find(resource, name, namespace)


def _model(item: Object) -> Manifest:
    metadata = {field: item["metadata"][field] for field in _KEPT if field in item["metadata"]}
    kept = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": item.get("spec", {})}
    return parse(BY_VERSION[item["apiVersion"], item["kind"]].model, kept)


def _context(model: Manifest, resolution: Resolution, broker: Object | None) -> Resolved | None:
    urls = resolution.urls
    common: dict[str, Any] = {"subscriber": urls.get(status.SUBSCRIBER), "sink": urls.get(status.SINK), "urls": urls}
    if not isinstance(model, Trigger):
        delivery: DeliverySpec | None = getattr(getattr(model, "spec", None), "delivery", None)
        return Resolved(**common, delivery=delivery, dead_letter=urls.get(status.DEAD_LETTER))
    if broker is None:
        return None
    if model.spec.delivery is not None:
        return Resolved(**common, delivery=model.spec.delivery, dead_letter=urls.get(status.DEAD_LETTER))
    parent = _model(broker)
    assert isinstance(parent, Broker)  # noqa: S101 for mypy
    return Resolved(**common, delivery=parent.spec.delivery, dead_letter=status.inherited(broker))
