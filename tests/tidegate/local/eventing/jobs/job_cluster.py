"""A store whose Jobs are real processes, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.controller import JOBS, EventingController
from tidegate.local.eventing.jobs.files import JobFiles
from tidegate.local.eventing.jobs.jobs import Jobs
from tidegate.local.eventing.jobs.pod_slots import PodSlots
from tidegate.local.objects.validation import Object
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.orphan_reaper import OrphanReaper

# Longer than any test needs, so that a hang is a failure with its place.
PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class JobCluster:
    """A store whose Jobs are run, in the folder `root`, which is also their working directory."""

    store: Store
    jobs: Jobs
    root: Path

    def create(self, name: str, program: str, *, template: Object | None = None, restart_policy: str = "Never", **spec: Any) -> Object:
        """Create a Job that runs a Python program."""
        return self.store.create(JOBS, job(name, program, template=template, restart_policy=restart_policy, **spec))

    def change(self, name: str, **spec: Any) -> None:
        """Change fields of a Job's specification."""
        item = self.store.get(JOBS, name)
        self.store.update(JOBS, {**item, "spec": {**item["spec"], **spec}})

    def status(self, name: str) -> Object:
        return dict(self.store.get(JOBS, name).get("status", {}))

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until a condition holds after a change of the store, or of a file that a process writes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not true():  # noqa: ASYNC110 a file sends no event
                await asyncio.sleep(0.01)

    async def end_of(self, name: str) -> Object:
        """The status of a Job when it has ended."""
        await self.until(lambda: outcome(self.status(name)))
        return self.status(name)


def job(name: str, program: str, *, template: Object | None = None, restart_policy: str = "Never", **spec: Any) -> Object:
    container = {"name": "work", "command": ["python", "-c", program]}
    pod = {"restartPolicy": restart_policy, "terminationGracePeriodSeconds": 5, "containers": [container], **(template or {})}
    metadata = {"name": name, "namespace": "default"}
    defaults = {} if "parallelism" in spec else {"completions": 1}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**defaults, **spec, "template": {"spec": pod}}}


def outcome(status: Object) -> str | None:
    """The reason of a Job's end, or None while it has not ended."""
    ends = (item for item in status.get("conditions", []) if item["type"] in ("Complete", "Failed") and item["status"] == "True")
    return next((str(item["reason"]) for item in ends), None)


@asynccontextmanager
async def job_cluster(root: Path, *, slots: int = 8) -> AsyncIterator[JobCluster]:
    """A store whose Jobs are run for as long as the context. A second one continues with the files of the first."""
    with OrphanReaper() as reaper:
        store = Store()
        launcher = Launcher(root=root, logs=root / "log", reaper=reaper, common={"PYTHONDONTWRITEBYTECODE": "1"})
        jobs = Jobs(store, launcher, JobFiles(root / "jobs"), PodSlots(slots))
        controller = EventingController(store, 8080)
        controller.run({JOBS: jobs})
        controller.start()
        jobs.restore()
        yield JobCluster(store, jobs, root)
        await controller.close()
