"""One Job: its processes follow the state that the Job controller decides."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.local.errors import StartFailed
from tidegate.local.eventing.jobs.pod_slots import PodSlots
from tidegate.local.eventing.jobs.state import COMPLETE, Pod, State, after, decide, interrupted, record_exit, wake_at
from tidegate.local.eventing.jobs.status import Status, status_of
from tidegate.local.objects.job import Job
from tidegate.local.objects.resources import Metadata
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.process import Exit, Process

log = logging.getLogger("tidegate.local")

# Kubernetes' default of terminationGracePeriodSeconds.
_GRACE_SECONDS = 30
# The exit code of a container that cannot be started (containerd's StartError).
_CANNOT_START = 128
# The characters of generated names in Kubernetes, which make no words.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX = 57
# asyncio's timers may fire a little early by the wall clock, and long ones must follow changes of that clock.
_LEAST_WAIT, _LONGEST_WAIT = 0.001, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the runs of all Jobs share. `publish` takes a status that has changed, `remove` a Job whose time is over."""

    launcher: Launcher
    slots: PodSlots
    publish: Callable[[JobRun, Status], None]
    remove: Callable[[JobRun], None]


class JobRun:
    """A Job and its processes. `variables` are added to the environment of each; `job` may be replaced by a changed one."""

    def __init__(self, job: Job, state: State, around: Surroundings, variables: dict[str, str]) -> None:
        self.job = job
        self.state = state
        self._around = around
        self._variables = variables
        self._processes: dict[int, Process] = {}
        self._stops: dict[int, asyncio.Task[Exit]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._status: Status | None = None
        self._closing = False
        self._pods: list[str] = []

    @property
    def pods(self) -> list[str]:
        """The names of all pods since `tidegate up` was started, which are also those of their logs."""
        return self._pods

    @property
    def pids(self) -> dict[str, int]:
        """The process of each pod that runs, by the pod's name."""
        return {process.launch.name: process.pid for process in self._processes.values()}

    def sync(self) -> None:
        """Decide, let the processes follow, and publish the status if it has changed."""
        if self._closing:
            return
        now = datetime.now(UTC)
        self.state = decide(self.job.spec, self.state, now)
        while pending := [pod for pod in self.state.stopping if pod.number not in self._processes]:
            for pod in pending:
                self.state = record_exit(self.job.spec, self.state, pod.number, _CANNOT_START, now)
            self.state = decide(self.job.spec, self.state, now)
        for pod in self.state.stopping:
            self._stop(pod.number)
        for pod in self.state.active:
            self._start(pod, now)
        self._publish()
        self._set_timer(now)

    async def close(self) -> None:
        """Stop the processes. Those that fail are not counted, and are run again at the next start."""
        await self.discard()
        self.state = interrupted(self.state)
        self._publish()

    async def discard(self) -> None:
        """Stop the processes, and publish nothing."""
        self._end()
        for number in self._processes:
            self._stop(number)
        while self._processes:
            await asyncio.wait([process.exited for process in self._processes.values()])

    def kill(self) -> None:
        """Kill every process at once."""
        self._end()
        for process in self._processes.values():
            process.kill()

    def _end(self) -> None:
        self._closing = True
        self._around.slots.forget(self.sync)
        if self._timer:
            self._timer.cancel()

    def _start(self, pod: Pod, now: datetime) -> None:
        if pod.number in self._processes or (pod.not_before and pod.not_before > now) or not self._around.slots.take(self.sync):
            return
        name = self._pod_name(pod)
        try:
            process = self._launch(pod, name)
        except StartFailed as error:
            log.warning("a pod of the Job %s cannot be started: %s", self.job.metadata.name, error)
            self._around.slots.give_back()
            self.state = record_exit(self.job.spec, self.state, pod.number, _CANNOT_START, now)
            asyncio.get_running_loop().call_soon(self.sync)
            return
        log.info("the Job %s started the pod %s", self.job.metadata.name, name)
        self._processes[pod.number] = process
        process.exited.add_done_callback(lambda future: self._ended(pod.number, process, future.result()))

    def _launch(self, pod: Pod, name: str) -> Process:
        self._pods.append(name)
        index = {} if pod.index is None else {"JOB_COMPLETION_INDEX": str(pod.index)}
        metadata = _pod_metadata(self.job, pod, name)
        return self._around.launcher.start(
            self.job.spec.template.spec, name=name, metadata=metadata, variables={**self._variables, **index}
        )

    def _pod_name(self, pod: Pod) -> str:
        prefix = (self.job.metadata.name or "") + ("" if pod.index is None else f"-{pod.index}")
        return f"{prefix[:_LONGEST_PREFIX]}-{''.join(random.choices(_ALPHABET, k=5))}"  # noqa: S311 a name, not a secret

    def _stop(self, number: int) -> None:
        if number not in self._stops and number in self._processes:
            grace = self.job.spec.template.spec.termination_grace_period_seconds
            process = self._processes[number]
            self._stops[number] = asyncio.create_task(process.stop(_GRACE_SECONDS if grace is None else grace))

    def _ended(self, number: int, process: Process, exit_: Exit) -> None:
        del self._processes[number]
        stopped = self._stops.pop(number, None) is not None
        self._around.slots.give_back()
        if exit_.code != 0 and not stopped:
            log.warning("%s %s (%s)", process.launch.name, exit_, process.last_line())
        if exit_.code == 0 or not self._closing:
            self.state = record_exit(self.job.spec, self.state, number, exit_.code, datetime.now(UTC))
        self.sync()

    def _publish(self) -> None:
        status = status_of(self.job.spec, self.state, ready=sum(pod.number in self._processes for pod in self.state.active))
        if status == self._status:
            return
        self._status = status
        self._around.publish(self, status)
        if end := self.state.finished:
            level = logging.INFO if end.type == COMPLETE else logging.WARNING
            log.log(level, "the Job %s has ended: %s (%s)", self.job.metadata.name, end.type, end.message)

    def _set_timer(self, now: datetime) -> None:
        """Decide again when there is something to decide; remove the Job when it has been finished for long enough."""
        if self._timer:
            self._timer.cancel()
        due = self._expires_at() if self.state.finished else wake_at(self.job.spec, self.state, now)
        if due is None:
            return
        if self.state.finished and due <= now:
            self._around.remove(self)
            return
        wait = min(max((due - now).total_seconds(), 0.0) + _LEAST_WAIT, _LONGEST_WAIT)
        self._timer = asyncio.get_running_loop().call_later(wait, self.sync)

    def _expires_at(self) -> datetime | None:
        finished, seconds = self.state.finished, self.job.spec.ttl_seconds_after_finished
        return None if finished is None or seconds is None else after(finished.since, seconds)


def _pod_metadata(job: Job, pod: Pod, name: str) -> Metadata:
    """The metadata of a pod, with the labels and the annotation by which Kubernetes finds the pods of a Job."""
    template, owner, uid = job.spec.template.metadata, job.metadata.name or "", job.metadata.uid or ""
    labels = {"batch.kubernetes.io/job-name": owner, "job-name": owner, "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid}
    index = {} if pod.index is None else {"batch.kubernetes.io/job-completion-index": str(pod.index)}
    changes = {
        "name": name,
        "namespace": job.metadata.namespace,
        "labels": {**template.labels, **labels, **index},
        "annotations": {**template.annotations, **index},
    }
    return template.model_copy(update=changes)
