"""JobSinks: the ingress that starts one Job for each event, and answers what became of it."""

from __future__ import annotations

import logging

from aiohttp import web

from common.errors import InvalidEvent
from eventing.codecs import json
from eventing.event import Event
from functions.runtime.knative.objects import condition
from tidegate.local.apiserver.resources import RESOURCES, Mutate
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.ingress import Refused, address_of, error, events_of
from tidegate.local.eventing.jobs.event_job import Run, job_of
from tidegate.local.eventing.jobs.jobs import JOBS, Jobs
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.eventing import JobSink
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

log = logging.getLogger("tidegate.local")

# The size of a Secret, as which a cluster mounts the event.
MAX_EVENT_BYTES = 1 << 20
# Each event is a Job with a folder. A sender that is faster than the Jobs has to wait.
MAX_UNFINISHED = 1000
_RETRY_AFTER_SECONDS = "5"


def _unchanged(_: str, item: Object) -> Object:
    return item


class JobSinks:
    """The runner of JobSinks, and the handler of their host. `mutate` changes a Job before its admission, as SinkBindings do."""

    def __init__(self, store: Store, jobs: Jobs, mutate: Mutate = _unchanged) -> None:
        self._store = store
        self._jobs = jobs
        self._mutate = mutate
        self._sinks: dict[tuple[str, str], JobSink] = {}

    def apply(self, item: JobSink, context: Resolved) -> None:
        """Use a new or changed JobSink for the next events."""
        self._sinks[item.metadata.namespace or DEFAULT_NAMESPACE, item.metadata.name or ""] = item

    def delete(self, namespace: str, name: str) -> None:
        """Accept no more events for a JobSink. Its Jobs go on, as on a cluster: their owner has no kind that exists."""
        self._sinks.pop((namespace, name), None)

    async def close(self) -> None:
        """Do nothing: an event is in flight only for a moment, and its Job belongs to another runner."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Start a Job for the event of a POST, or answer a GET of a `Location` by the state of the Job."""
        try:
            return self._state(request) if request.method == "GET" else await self._start(request)
        except Refused as refused:
            # Knative's JobSink answers 400 to every method but GET and POST.
            return refused.response if refused.response.status != 405 else error(400, str(refused))

    async def _start(self, request: web.BaseRequest) -> web.Response:
        address = address_of(request)
        sink = self._sinks.get(address) if address else None
        if address is None or sink is None:
            return error(400, f"there is no JobSink for the path {request.path[:200]}; it is /<namespace>/<name>.")
        event = _single(await events_of(request))
        run = Run.of(*address, event)
        if self._store.find(JOBS, run.job, run.namespace) is None:
            self._create(sink, run, event)
        return _accepted(run)

    def _create(self, sink: JobSink, run: Run, event: Event) -> None:
        """Save the event, then create its Job. Raises Refused."""
        body = _encoded(event)
        if self._jobs.unfinished >= MAX_UNFINISHED:
            headers = {"Retry-After": _RETRY_AFTER_SECONDS}
            raise Refused(429, f"{MAX_UNFINISHED} Jobs have not finished; retry when some have.", headers)
        files = self._jobs.files
        try:
            files.save_event(run.namespace, run.job, body)
            self._store.create(JOBS, RESOURCES[JOBS].admit(self._mutate(JOBS, job_of(sink, run)), None))
            if not files.has(run.namespace, run.job):
                raise OSError("the Job was not written")
        except (OSError, StatusError) as problem:
            if self._store.find(JOBS, run.job, run.namespace):
                self._store.delete(JOBS, run.job, run.namespace)
            files.delete(run.namespace, run.job)
            log.warning("the JobSink %s cannot create the Job %s: %s", run.sink, run.job, problem)
            raise Refused(500, f"the Job cannot be created: {problem}", {"Reason": type(problem).__name__}) from None

    def _state(self, request: web.BaseRequest) -> web.Response:
        run = Run.at(request.raw_path)
        if run is None or (run.namespace, run.sink) not in self._sinks:
            raise Refused(400, f"the path {request.path[:200]} is not that of a JobSink's run.")
        item = self._store.find(JOBS, run.job, run.namespace)
        if item is None:
            raise Refused(500, f"the Job {run.job} does not exist; it may have been deleted after its end.")
        for type_, status in (("Failed", 400), ("Complete", 200)):
            if (condition(item, type_) or {}).get("status") == "True":
                return web.Response(status=status, headers={"Reason": type_})
        return _accepted(run)


def _single(events: list[Event]) -> Event:
    if len(events) != 1:
        raise Refused(400, f"the request has {len(events)} events; a JobSink takes one.")
    return events[0]


def _encoded(event: Event) -> bytes:
    try:
        # Data in JSON is written into the file unchanged, so it is checked first.
        body = json.encode(Event(event.attributes, event.value()) if event.is_json and event.data is not None else event)
    except InvalidEvent as problem:
        raise Refused(400, str(problem)) from None
    if len(body) > MAX_EVENT_BYTES:
        size = f"the event has {len(body)} bytes, and a Secret, as which a cluster mounts it, {MAX_EVENT_BYTES} at most"
        raise Refused(413, f"{size}; send a reference to the data.")
    return body


def _accepted(run: Run) -> web.Response:
    return web.Response(status=202, headers={"Location": run.location})
