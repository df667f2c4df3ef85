"""All Jobs: their runs, and their files, by which an interrupted Job runs again at the next start of `tidegate up`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tidegate.local.eventing.job_files import JobFiles
from tidegate.local.eventing.job_run import JobRun, Surroundings
from tidegate.local.eventing.job_status import Status, state_of
from tidegate.local.eventing.pod_slots import PodSlots
from tidegate.local.objects.job import Job
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.processes.launcher import Launcher

log = logging.getLogger("tidegate.local")

Key = tuple[str, str]


class Jobs:
    """The Jobs by namespace and name.

    `publish(namespace, name, status)` takes the status of a Job when it has changed, and `remove(namespace, name)`
    deletes the Job whose `ttlSecondsAfterFinished` is over.
    """

    def __init__(
        self,
        launcher: Launcher,
        files: JobFiles,
        publish: Callable[[str, str, Status], None],
        remove: Callable[[str, str], None],
        slots: PodSlots | None = None,
    ) -> None:
        self.files = files
        self._runs: dict[Key, JobRun] = {}
        self._discarded: set[asyncio.Task[None]] = set()
        self._publish = publish
        self._remove = remove
        self._launcher = launcher
        self._around = Surroundings(launcher=launcher, slots=slots or PodSlots(), publish=self._save, remove=self._expire)

    @property
    def unfinished(self) -> int:
        """The number of Jobs that are not complete and have not failed."""
        return sum(run.state.finished is None for run in self._runs.values())

    def apply(self, job: Job, context: object = None) -> None:
        """Run a new Job, or continue one that was interrupted, from its status; or change a running one."""
        key = _key(job)
        if key in self._runs:
            self._runs[key].update(job)
            return
        run = JobRun(job, state_of(job.status or {}), self._around, self._variables(key))
        self._runs[key] = run
        # The store is changed by the first status, so not before the change that brought the Job is over.
        asyncio.get_running_loop().call_soon(run.sync)

    def delete(self, namespace: str, name: str) -> None:
        """Stop a Job's processes, and remove its files."""
        run = self._runs.pop((namespace, name), None)
        self.files.delete(namespace, name)
        if run:
            task = asyncio.create_task(self._discard(run))
            self._discarded.add(task)
            task.add_done_callback(self._discarded.discard)

    async def close(self) -> None:
        """Stop all processes in an orderly way; what they did not finish is run again at the next start."""
        await asyncio.gather(*(run.close() for run in self._runs.values()), *self._discarded)

    def kill(self) -> None:
        """Kill every process at once."""
        for run in self._runs.values():
            run.kill()

    def _variables(self, key: Key) -> dict[str, str]:
        folder = self.files.event_folder(*key)
        return {"K_EVENT_PATH": str(folder)} if folder else {}

    def _save(self, run: JobRun, status: Status) -> None:
        """Save a status before it is published, so that no one sees more than a restart would."""
        namespace, name = _key(run.job)
        if self._runs.get((namespace, name)) is not run:
            return
        item: dict[str, Any] = run.job.model_dump(mode="json", by_alias=True, exclude_unset=True)
        item["metadata"] = {**item["metadata"], "namespace": namespace}
        try:
            self.files.save({**item, "status": status})
        except OSError as error:
            log.warning("the state of the Job %s cannot be saved, so that a restart would run it again: %s", name, error)
        self._publish(namespace, name, status)

    def _expire(self, run: JobRun) -> None:
        namespace, name = _key(run.job)
        log.info("the Job %s is deleted: its ttlSecondsAfterFinished is over", name)
        self._remove(namespace, name)

    async def _discard(self, run: JobRun) -> None:
        await run.discard()
        for pod in run.pods:
            (self._launcher.logs / f"{pod}.log").unlink(missing_ok=True)


def _key(job: Job) -> Key:
    return job.metadata.namespace or DEFAULT_NAMESPACE, job.metadata.name or ""
