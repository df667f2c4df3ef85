"""Keeps objects and processes in step: services make revisions, revisions run, and how they fare becomes their status."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial

from tidegate.local.apiserver.admission import admit_service
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.controller import reconciler, routes
from tidegate.local.controller.revision import Plan, Revision
from tidegate.local.objects import resources
from tidegate.local.objects.resources import REVISIONS, SERVICES
from tidegate.local.objects.validation import Object, parse
from tidegate.local.processes.launcher import Launcher

log = logging.getLogger("tidegate.local")


class Fleet:
    """`domain` is what follows a service's name in its host, with the port: `localhost:8080`."""

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
        store.listener = self._changed

    def apply(self, service: Object) -> Object:
        """Creates a Knative Service, or replaces it. Raises Failure as the API would."""
        old = self._find(SERVICES, str((service.get("metadata") or {}).get("name")))
        admitted = admit_service(service, old)
        return self.store.update(SERVICES, admitted) if old else self.store.create(SERVICES, admitted)

    async def close(self) -> None:
        """Stops every replica after its last request."""
        self.store.listener = _deaf
        await asyncio.gather(*(revision.close() for revision in self.revisions.values()), *self._closing)

    @property
    def in_system(self) -> int:
        """Requests that are held or in flight."""
        return sum(revision.in_system for revision in self.revisions.values())

    def kill(self) -> None:
        for revision in self.revisions.values():
            revision.kill()

    def _changed(self, change: Change) -> None:
        """In the turn of whoever changed the store, so that each change is seen, and its outcome is there when the change returns."""
        name = reconciler.name_of(change.object)
        if change.resource == REVISIONS and change.type == "DELETED":
            self._retire(name)
        self._queue.append(name if change.resource == SERVICES else reconciler.service_of(change.object))
        if not self._working:
            self._work()

    def _work(self) -> None:
        """What a service's turn changes is queued behind it; it ends when nothing changes any more."""
        self._working = True
        while self._queue:
            service = self._queue.popleft()
            try:
                self._reconcile(service)
            except Exception:  # one object that cannot be handled must not keep the others from it
                log.exception("cannot bring %s in step with its manifest", service)
        self._working = False

    def _reconcile(self, service: str) -> None:
        item = self._find(SERVICES, service)
        if item is None:
            for revision in self._revisions_of(service):
                self.store.delete(REVISIONS, reconciler.name_of(revision))
        else:
            taken = self._make_revision(item)
            revisions = self._revisions_of(service)
            for revision in revisions:
                self._run(revision)
            if revisions:
                status = reconciler.service_status(item, self._revisions_of(service), self._domain, taken)
                self.store.update_status(SERVICES, service, status)
        self._route()

    def _make_revision(self, service: Object) -> str | None:
        """Returns the name that the template asks for, if another revision has it."""
        wanted = reconciler.next_revision(service, self._revisions_of(reconciler.name_of(service)), self._templates)
        if wanted is None:
            return None
        name = reconciler.name_of(wanted)
        if self._find(REVISIONS, name):
            log.warning("the revision %s exists already with another content; give the template another metadata.name, or none", name)
            return name
        self._templates[name] = service["spec"]["template"]
        self.store.create(REVISIONS, wanted)
        return None

    def _run(self, revision: Object) -> None:
        name = reconciler.name_of(revision)
        if name not in self.revisions:
            plan = Plan.of(parse(resources.Revision, revision))
            self.revisions[name] = Revision(plan, self._launcher, partial(self._report, name))
            self._report(name)

    def _report(self, name: str) -> None:
        running, item = self.revisions.get(name), self._find(REVISIONS, name)
        if running and item:
            pool = running.pool
            status = reconciler.revision_status(item, pool.problem, len(pool.ready), pool.decision.desired)
            self.store.update_status(REVISIONS, name, status)

    def _retire(self, name: str) -> None:
        self._templates.pop(name, None)
        revision = self.revisions.pop(name, None)
        if revision:
            task = asyncio.create_task(revision.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _route(self) -> None:
        services = self.store.list(SERVICES)
        self.table = routes.table(services)
        reachable = {name for route in self.table.hosts.values() for name in route.revisions}
        for name, revision in self.revisions.items():
            revision.set_reachable(name in reachable)

    def _find(self, resource: str, name: str) -> Object | None:
        return next((item for item in self.store.list(resource) if reconciler.name_of(item) == name), None)

    def _revisions_of(self, service: str) -> list[Object]:
        return [revision for revision in self.store.list(REVISIONS) if reconciler.service_of(revision) == service]


def _deaf(change: Change) -> None:
    """At the end nothing is brought in step any more."""
