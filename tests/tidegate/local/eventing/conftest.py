"""Fixtures of the tests of Knative Eventing's objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.tidegate.local.eventing.job_cluster import JobCluster
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.controller import JOBS, EventingController
from tidegate.local.eventing.job_files import JobFiles
from tidegate.local.eventing.jobs import Jobs
from tidegate.local.eventing.pod_slots import PodSlots
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.orphan_reaper import OrphanReaper


@pytest.fixture
def job_cluster(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[JobCluster]]:
    """A store whose Jobs are run for as long as the context. A second one continues with the files of the first."""

    @asynccontextmanager
    async def make(slots: int = 8) -> AsyncIterator[JobCluster]:
        with OrphanReaper() as reaper:
            store = Store()
            launcher = Launcher(root=tmp_path, logs=tmp_path / "log", reaper=reaper, common={"PYTHONDONTWRITEBYTECODE": "1"})
            jobs = Jobs(store, launcher, JobFiles(tmp_path / "jobs"), PodSlots(slots))
            controller = EventingController(store, 8080)
            controller.register(JOBS, lambda _: jobs)
            controller.start()
            jobs.restore()
            yield JobCluster(store, jobs, tmp_path)
            await controller.close()

    return make
