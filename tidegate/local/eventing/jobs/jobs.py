"""All Jobs: their runs, and their files, by which an interrupted Job runs again at the next start of `tidegate up`."""

from __future__ import annotations

import asyncio
import logging

from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.jobs.files import JobFiles
from tidegate.local.eventing.jobs.pod_slots import PodSlots
from tidegate.local.eventing.jobs.run import JobRun, Surroundings
from tidegate.local.eventing.jobs.status import Status, state_of
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.job import Job, JobSpec
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object, parse
from tidegate.local.processes.launcher import Launcher

log = logging.getLogger("tidegate.local")

JOBS = "jobs"
Key = tuple[str, str]


class Jobs:
    """The runner of Jobs. It writes their status into the store, and removes those whose time is over from it."""

    def __init__(self, store: Store, launcher: Launcher, files: JobFiles, slots: PodSlots | None = None) -> None:
        self.files = files
        self._store = store
        self._launcher = launcher
        self._runs: dict[Key, JobRun] = {}
        self._discarded: set[asyncio.Task[None]] = set()
        self._around = Surroundings(launcher=launcher, slots=slots or PodSlots(), publish=self._publish, remove=self._expire)

    @property
    def unfinished(self) -> int:
        """The number of Jobs that are not complete and have not failed."""
        return sum(run.state.finished is None for run in self._runs.values())

    def pids(self, namespace: str, name: str) -> dict[str, int]:
        """The process of each pod of a Job that runs, by the pod's name."""
        run = self._runs.get((namespace, name))
        return run.pids if run else {}

    def restore(self) -> None:
        """Put the Jobs of earlier runs of `tidegate up` back into the store. Those that were interrupted run again."""
        for item in self.files.load():
            self._store.restore(JOBS, item)

    def give_way(self, item: Job) -> None:
        """Delete a restored Job that the manifests define by another template now, since a template cannot be changed."""
        stored = self._stored(_key(item))
        if stored and parse(JobSpec, stored["spec"]).template != item.spec.template:
            log.info("the Job %s is replaced: its template in the manifests has changed", item.metadata.name)
            self._store.delete(JOBS, stored["metadata"]["name"], stored["metadata"]["namespace"])

    def apply(self, item: Job, context: Resolved) -> None:
        """Run a new Job, or continue an interrupted one from its status; or continue with another specification."""
        key = _key(item)
        if key in self._runs:
            self._runs[key].job = item
        else:
            self._save(key, self._stored(key))
            self._runs[key] = JobRun(item, state_of(self._stored(key).get("status", {})), self._around, self._variables(key))
        # A status is written after the change that brought the Job, not during it.
        asyncio.get_running_loop().call_soon(self._runs[key].sync)

    def delete(self, namespace: str, name: str) -> None:
        """Stop a Job's processes, and remove its files."""
        run = self._runs.pop((namespace, name), None)
        self.files.delete(namespace, name)
        if run:
            task = asyncio.create_task(self._discard(run))
            self._discarded.add(task)
            task.add_done_callback(self._discarded.discard)

    async def close(self) -> None:
        """Stop all processes in an orderly way. What they did not finish is run again at the next start."""
        await asyncio.gather(*(run.close() for run in self._runs.values()), *self._discarded)

    def kill(self) -> None:
        """Kill every process at once."""
        for run in self._runs.values():
            run.kill()

    def _stored(self, key: Key) -> Object:
        return self._store.find(JOBS, key[1], key[0]) or {}

    def _variables(self, key: Key) -> dict[str, str]:
        folder = self.files.event_folder(*key)
        return {"K_EVENT_PATH": str(folder)} if folder else {}

    def _publish(self, run: JobRun, status: Status) -> None:
        """Save a status, then publish it, so that no reader sees more than a restart would know."""
        key = namespace, name = _key(run.job)
        if self._runs.get(key) is not run:
            return
        self._save(key, {**self._stored(key), "status": status})
        self._store.update_status(JOBS, name, status, namespace)

    def _save(self, key: Key, item: Object) -> None:
        try:
            self.files.save(item)
        except OSError as error:
            log.warning("the Job %s cannot be saved, so that a restart would not know its state: %s", key[1], error)

    def _expire(self, run: JobRun) -> None:
        namespace, name = _key(run.job)
        log.info("the Job %s is deleted, since its ttlSecondsAfterFinished is over", name)
        self._store.delete(JOBS, name, namespace)

    async def _discard(self, run: JobRun) -> None:
        await run.discard()
        for pod in run.pods:
            (self._launcher.logs / f"{pod}.log").unlink(missing_ok=True)


def _key(job: Job) -> Key:
    return job.metadata.namespace or DEFAULT_NAMESPACE, job.metadata.name or ""
