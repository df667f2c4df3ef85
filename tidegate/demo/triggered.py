"""Batches that events start: by a Trigger, with a kill on the way, and by the schedule of a PingSource."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from eventing.types import BATCH_COMPLETED, BATCH_REQUESTED
from functions.batch.run import inspection
from tidegate.demo import batch_checks, jobs, objects
from tidegate.demo.batch_checks import Done
from tidegate.demo.control import DemoFailed, Workbench
from tidegate.demo.event_reader import EventReader
from tidegate.demo.jobs import Batch
from tidegate.demo.november import November, Output
from tidegate.demo.objects import Object, Objects
from tidegate.demo.results import Results
from tidegate.demo.rollout import MODEL, wait_until_ready
from tidegate.local.eventing.overview import JobStatus
from tidegate.progress import ProgressReporter

_BROKER_TOPIC = "knative-broker-default-tidegate"
# Enough parts to show that they are kept, and so few that the process is still at work.
_KILL_AFTER_PARTS = 5
_EVENT_SECONDS = 60.0
# To the time of the PingSource, which must be created before it, also beside other work on the machine.
_LEAD = timedelta(seconds=4)


def score_by_events(workbench: Workbench, november: November, results: Results, reporter: ProgressReporter) -> None:
    """Connect the JobSink of the manifests with the Broker, then start a batch by an event, and one by a schedule."""
    reporter.step("Creating a Trigger that starts batches, through the Kubernetes API")
    with ExitStack() as stack:
        cluster = stack.enter_context(Objects(Path(workbench.running.kubeconfig)))
        # On a cluster, the files are on a volume.
        cluster.set_job_env("batch", "TIDEGATE_BATCH_PATHS", str(november.folder))
        cluster.create(*objects.component("batch-events"))
        wait_until_ready(workbench)
        broker = stack.enter_context(EventReader(workbench.broker, _BROKER_TOPIC))
        triggered = _Triggered(workbench, november, broker, results, reporter)
        triggered.by_event()
        triggered.by_schedule(cluster)


@dataclass(frozen=True, slots=True)
class _Triggered:
    """The two batches. `broker` reads the events that reach the Broker."""

    workbench: Workbench
    november: November
    broker: EventReader
    results: Results
    reporter: ProgressReporter

    def by_event(self) -> None:
        """Request a batch by an event, and kill its process once."""
        self.reporter.step(f"Sending {BATCH_REQUESTED} for the days of November; the process of its Job is killed on the way")
        days, output = self.november.by_day(), self.november.folder / "days-scored"
        data = {"model": MODEL, "input": str(days), "output": str(output), "key": "tailnum"}
        sent = self.workbench.command("send", BATCH_REQUESTED, "--data", orjson.dumps(data).decode())
        started = [step for step in sent["deliveries"] if step["job"]]
        if not started:
            raise DemoFailed("no Trigger has started a Job for the event", remedy="run `tidegate status` for the reason")
        name = started[0]["job"]
        self.reporter.say(f"  the Trigger {started[0]['trigger']} has started the Job {name}")
        batch = Batch(run=f"{sent['event']['source']}#{sent['event']['id']}", output=output)
        left, job = self._killed_once(name, batch, len(list(days.iterdir())))
        completed = self._completed(output)
        self.results.checks.append(batch_checks.retried(left, failed=job["failed"], succeeded=job["succeeded"]))
        if left and completed:
            self.results.checks.append(batch_checks.resumed(left, scored=completed["scored"], rows=self.november.rows))
        self._check("event", output, batch.run, completed)
        kept = {"parts_kept": left.parts, "rows_kept": left.rows} if left else {}
        self.results.report["batch_by_event"] = {"attempts": job["succeeded"] + job["failed"], **kept}

    def _killed_once(self, name: str, batch: Batch, parts: int) -> tuple[Done | None, JobStatus]:
        """Kill the Job's process in the middle, and wait until its next attempt is complete."""
        with self.reporter.progress("scored", self.november.rows, "rows") as progress:

            def show() -> None:
                progress.show(batch.done.rows, progress.note)

            left = jobs.kill_in_the_middle(self.workbench, name, batch, _KILL_AFTER_PARTS, show)
            progress.note = f"killed after {left.parts} of {parts} parts" if left else "ended before it could be killed"
            job = jobs.wait_for_end(self.workbench, name, show)
            show()
        return left, job

    def by_schedule(self, cluster: Objects) -> None:
        """Let the PingSource of the nightly batch be due once, in a moment."""
        known = jobs.names(self.workbench.status())
        due = datetime.now(UTC).replace(microsecond=0) + _LEAD
        self.reporter.step(f"Creating the PingSource nightly-batch with another schedule: once, at {due:%H:%M:%S} UTC")
        folder, yesterday = self.november.folder, (due - timedelta(days=1)).date()
        shutil.copyfile(self.november.source, folder / f"departures-{yesterday}.parquet")
        cluster.create(_nightly(folder, due))
        name = jobs.wait_for_start(self.workbench, known)
        self.reporter.say(f"  it has started the Job {name}")
        job = jobs.wait_for_end(self.workbench, name)
        output = folder / f"scored-{yesterday}.parquet"
        completed = self._completed(output)
        started = len(jobs.names(self.workbench.status()) - known)
        self.results.checks.append(batch_checks.on_schedule(due, datetime.fromisoformat(job["created"]), started))
        self._check("schedule", output, str(completed["run"]) if completed else "", completed)

    def _completed(self, output: Path) -> Mapping[str, Any] | None:
        """The data of the event of a complete batch, once the Broker has it."""
        found = self.broker.wait(
            lambda event: event.type == BATCH_COMPLETED and event.value()["output"] == str(output), seconds=_EVENT_SECONDS
        )
        return found.value() if found else None

    def _check(self, name: str, output: Path, run: str, completed: Mapping[str, Any] | None) -> None:
        self.results.checks += self.november.check(name, Output.read(output))
        digest = inspection.state_of(str(output), run).get("digest")
        self.results.checks.append(batch_checks.completion(name, completed, run=run, digest=digest))


def _nightly(folder: Path, due: datetime) -> Object:
    """The PingSource of the component nightly-batch, which is due at one time, for files in a folder."""
    (item,) = objects.component("nightly-batch/source.yaml")
    data = {
        name: value.replace("/data/", f"{folder}/") if name in ("input", "output") else value
        for name, value in orjson.loads(item["spec"]["data"]).items()
    }
    schedule = f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *"
    return {**item, "spec": {**item["spec"], "schedule": schedule, "data": orjson.dumps(data).decode()}}
