"""The controller, which creates revisions of Knative Services, runs them, and updates the status of both."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial

from functions.runtime.knative.objects import REVISIONS, SERVICES
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.controller import reconciler, routes
from tidegate.local.controller.revision import Plan, Revision
from tidegate.local.objects.resources import KnativeRevision
from tidegate.local.objects.validation import Object, parse
from tidegate.local.processes.launcher import Launcher

log = logging.getLogger("tidegate.local")


class Controller:
    """The controller of a store. `domain` follows a service's name in its host, with the port: `localhost:8080`."""

    def __init__(self, store: Store, launcher: Launcher, domain: str) -> None:
        self.store = store
        self.revisions: dict[str, Revision] = {}
        self.table = routes.Table()
        self._templates: dict[str, Object] = {}
        self._launcher = launcher
        self._domain = domain
        self._closing: set[asyncio.Task[None]] = set()
        self._queue: deque[str] = deque()
        self._working = False

    def start(self) -> None:
        """Reconcile each change of the store from now on."""
        self._unsubscribe = self.store.subscribe(self._on_change)

    async def close(self) -> None:
        """Stop reconciling, and stop every replica after its last request."""
        self._unsubscribe()
        await asyncio.gather(*(revision.close() for revision in self.revisions.values()), *self._closing)

    @property
    def in_system(self) -> int:
        """The number of requests that are held or in flight."""
        return sum(revision.in_system for revision in self.revisions.values())

    def kill(self) -> None:
        """Kill every process at once; requests that are held or in flight fail."""
        for revision in self.revisions.values():
            revision.kill()

    def _on_change(self, change: Change) -> None:
        """Reconcile before the call that changed the store returns, so that its result is complete."""
        if change.resource not in (SERVICES, REVISIONS):
            return
        name = reconciler.name_of(change.object)
        if change.resource == REVISIONS and change.type == "DELETED":
            self._retire(name)
        self._queue.append(name if change.resource == SERVICES else reconciler.service_of(change.object))
        if not self._working:
            self._work()

    def _work(self) -> None:
        """Reconcile the queued services, including those that reconciling itself queues, until none is left."""
        self._working = True
        while self._queue:
            service = self._queue.popleft()
            try:
                self._reconcile(service)
            except Exception:  # a service that fails must not block the others
                log.exception("cannot reconcile the service %s", service)
        self._working = False

    def _reconcile(self, service: str) -> None:
        item = self._find(SERVICES, service)
        if item is None:
            for revision in self._revisions_of(service):
                self.store.delete(REVISIONS, reconciler.name_of(revision))
        else:
            conflict = self._create_revision(item)
            revisions = self._revisions_of(service)
            for revision in revisions:
                self._run(revision)
            if revisions:
                status = reconciler.service_status(item, self._revisions_of(service), self._domain, conflict)
                self.store.update_status(SERVICES, service, status)
        self._update_routes()

    def _create_revision(self, service: Object) -> str | None:
        """Create the revision of a new template. Returns its name if another revision already has it."""
        desired = reconciler.next_revision(service, self._revisions_of(reconciler.name_of(service)), self._templates)
        if desired is None:
            return None
        name = reconciler.name_of(desired)
        if self._find(REVISIONS, name):
            log.warning("the revision %s already exists with another template; change or remove spec.template.metadata.name", name)
            return name
        self._templates[name] = service["spec"]["template"]
        self.store.create(REVISIONS, desired)
        return None

    def _run(self, item: Object) -> None:
        name = reconciler.name_of(item)
        if name not in self.revisions:
            plan = Plan.of(parse(KnativeRevision, item))
            self.revisions[name] = revision = Revision(plan, self._launcher, partial(self._report, name))
            revision.start()
            self._report(name)

    def _report(self, name: str) -> None:
        revision, item = self.revisions.get(name), self._find(REVISIONS, name)
        if revision and item:
            pool = revision.pool
            status = reconciler.revision_status(item, pool.problem, len(pool.ready), pool.decision.desired)
            self.store.update_status(REVISIONS, name, status)

    def _retire(self, name: str) -> None:
        self._templates.pop(name, None)
        revision = self.revisions.pop(name, None)
        if revision:
            task = asyncio.create_task(revision.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _update_routes(self) -> None:
        services = self.store.list(SERVICES)
        self.table = routes.table(services)
        reachable = {name for route in self.table.hosts.values() for name in route.revisions}
        for name, revision in self.revisions.items():
            revision.set_reachable(name in reachable)

    def _find(self, resource: str, name: str) -> Object | None:
        return next((item for item in self.store.list(resource) if reconciler.name_of(item) == name), None)

    def _revisions_of(self, service: str) -> list[Object]:
        return [revision for revision in self.store.list(REVISIONS) if reconciler.service_of(revision) == service]
