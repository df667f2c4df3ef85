"""Jobs whose pods are real processes: their ends, restarts, limits and variables, and what outlives `tidegate up`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.tidegate.local.eventing.jobs.job_cluster import job, job_cluster, outcome
from tidegate.local.eventing.controller import JOBS

# Writes a file with its process id, and ends when there is a file `go`.
WAIT = "import os, pathlib, time; pathlib.Path(f'pid-{os.getpid()}').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)"
# Fails in its first attempts: as many as there are letters in the file `failures`, from which it takes one.
FLAKY = """
import pathlib, sys
file = pathlib.Path('failures'); left = file.read_text(); file.write_text(left[1:]); sys.exit(3 if left else 0)
"""


def pids(root: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in root.glob("pid-*")]


async def test_a_job_is_complete_when_its_process_has_succeeded(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("hello", "open('done', 'w').write('x')")
        status = await cluster.end_of("hello")
        assert (cluster.root / "done").read_text() == "x"
    assert (outcome(status), status["succeeded"], status["ready"]) == ("CompletionsReached", 1, 0)
    assert "failed" not in status
    assert status["startTime"] <= status["completionTime"]


async def test_a_failing_job_is_tried_again_and_then_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("broken", "import sys; print('no disk'); sys.exit(3)", backoffLimit=1)
        status = await cluster.end_of("broken")
    assert (outcome(status), status["failed"]) == ("BackoffLimitExceeded", 2)
    assert "ended with exit code 3 (no disk)" in caplog.text
    assert "the Job broken has ended: Failed (Job has reached the specified backoff limit)" in caplog.text


async def test_a_job_succeeds_after_failures_below_its_limit(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        (cluster.root / "failures").write_text("x")
        cluster.create("flaky", FLAKY, backoffLimit=1)
        status = await cluster.end_of("flaky")
    assert (outcome(status), status["failed"], status["succeeded"]) == ("CompletionsReached", 1, 1)


async def test_on_failure_the_container_is_restarted_without_a_failed_pod(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        (cluster.root / "failures").write_text("x")
        cluster.create("flaky", FLAKY, restart_policy="OnFailure", backoffLimit=2)
        status = await cluster.end_of("flaky")
    assert (outcome(status), status.get("failed")) == ("CompletionsReached", None)


async def test_a_program_that_does_not_exist_is_a_failed_pod(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with job_cluster(tmp_path) as cluster:
        item = job("missing", "", backoffLimit=0)
        item["spec"]["template"]["spec"]["containers"][0]["command"] = ["./no-such-program"]
        cluster.store.create(JOBS, item)
        status = await cluster.end_of("missing")
    assert (outcome(status), status["failed"]) == ("BackoffLimitExceeded", 1)
    assert "cannot run ./no-such-program" in caplog.text


async def test_pods_run_in_parallel_and_an_indexed_job_runs_each_index(tmp_path: Path) -> None:
    program = "import os, pathlib\npathlib.Path('index-' + os.environ['JOB_COMPLETION_INDEX']).touch()\n" + WAIT
    async with job_cluster(tmp_path) as cluster:
        cluster.create("shards", program, completions=3, parallelism=3, completionMode="Indexed")
        await cluster.until(lambda: len(pids(cluster.root)) == 3)
        assert cluster.status("shards")["active"] == cluster.status("shards")["ready"] == 3
        (cluster.root / "go").touch()
        status = await cluster.end_of("shards")
        assert {path.name for path in cluster.root.glob("index-*")} == {"index-0", "index-1", "index-2"}
    assert (status["completedIndexes"], status["succeeded"]) == ("0-2", 3)


async def test_a_shard_that_is_killed_is_run_again_and_no_other(tmp_path: Path) -> None:
    program = "import os\nopen('runs', 'a').write(os.environ['JOB_COMPLETION_INDEX'])\n" + WAIT
    async with job_cluster(tmp_path) as cluster:
        cluster.create("shards", program, completions=4, parallelism=4, completionMode="Indexed")
        await cluster.until(lambda: len(pids(cluster.root)) == 4)
        os.kill(pids(cluster.root)[0], signal.SIGKILL)
        await cluster.until(lambda: len(pids(cluster.root)) == 5)
        (cluster.root / "go").touch()
        status = await cluster.end_of("shards")
    assert (status["completedIndexes"], status["failed"]) == ("0-3", 1)
    runs = (cluster.root / "runs").read_text()
    assert (len(runs), set(runs)) == (5, set("0123"))


async def test_a_pod_reads_its_name_labels_and_index_from_its_fields(tmp_path: Path) -> None:
    fields = {"NAME": "metadata.name", "JOB": "metadata.labels['batch.kubernetes.io/job-name']", "NAMESPACE": "metadata.namespace"}
    fields["INDEX"] = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    program = "import json, os; json.dump(dict(os.environ), open('env', 'w'))"
    container = {"name": "work", "command": ["python", "-c", program], "env": env}
    async with job_cluster(tmp_path) as cluster:
        cluster.create("fields", program, template={"containers": [container]}, completions=1, completionMode="Indexed")
        await cluster.end_of("fields")
        found = json.loads((cluster.root / "env").read_text())
    assert found["NAME"].startswith("fields-0-")
    assert (found["JOB"], found["NAMESPACE"], found["INDEX"]) == ("fields", "default", "0")


async def test_more_pods_than_slots_wait_for_their_turn(tmp_path: Path) -> None:
    async with job_cluster(tmp_path, slots=1) as cluster:
        for number in range(3):
            cluster.create(f"job-{number}", WAIT)
        await cluster.until(lambda: len(pids(cluster.root)) == 1)
        await cluster.until(lambda: [cluster.status(f"job-{number}").get("active") for number in range(3)] == [1, 1, 1])
        assert [cluster.status(f"job-{number}")["ready"] for number in range(3)] == [1, 0, 0]
        (cluster.root / "go").touch()
        for number in range(3):
            assert outcome(await cluster.end_of(f"job-{number}")) == "CompletionsReached"


async def test_a_job_that_hangs_is_ended_by_its_deadline(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("hang", WAIT, activeDeadlineSeconds=1)
        status = await cluster.end_of("hang")
        assert not _is_alive(pids(cluster.root)[0])
    assert (outcome(status), status["failed"]) == ("DeadlineExceeded", 1)


async def test_a_suspended_job_stops_and_continues_when_it_is_resumed(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("pausing", WAIT)
        await cluster.until(lambda: pids(cluster.root))
        cluster.change("pausing", suspend=True)
        await cluster.until(lambda: "active" not in cluster.status("pausing") and cluster.status("pausing")["terminating"] == 0)
        assert not _is_alive(pids(cluster.root)[0])
        (cluster.root / "go").touch()
        cluster.change("pausing", suspend=False)
        status = await cluster.end_of("pausing")
    assert (outcome(status), status.get("failed")) == ("CompletionsReached", None)


async def test_a_finished_job_is_deleted_after_its_time(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("short", "", ttlSecondsAfterFinished=0)
        await cluster.until(lambda: cluster.store.find(JOBS, "short") is None)
        await cluster.until(lambda: not list((cluster.root / "log").glob("short-*")))
        assert not (cluster.root / "jobs/default/short").exists()


async def test_a_deleted_job_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("gone", WAIT)
        await cluster.until(lambda: pids(cluster.root))
        cluster.store.delete(JOBS, "gone", "default")
        await cluster.until(lambda: not _is_alive(pids(cluster.root)[0]))
        assert not (cluster.root / "jobs/default/gone").exists()
        assert cluster.store.list(JOBS) == []


async def test_an_orderly_end_stops_a_job_which_runs_again_at_the_next_start(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        created = cluster.create("night", WAIT, backoffLimit=0)
        await cluster.until(lambda: pids(cluster.root))
    assert not _is_alive(pids(cluster.root)[0])
    (cluster.root / "go").touch()
    async with job_cluster(tmp_path) as again:
        status = await again.end_of("night")
        assert again.store.get(JOBS, "night")["metadata"]["uid"] == created["metadata"]["uid"]
    assert (outcome(status), status.get("failed")) == ("CompletionsReached", None)
    assert len(pids(cluster.root)) == 2


async def test_finished_indexes_are_not_run_again_after_an_end(tmp_path: Path) -> None:
    program = "import os, pathlib\nif os.environ['JOB_COMPLETION_INDEX'] == '0': open('zero', 'a').write('x')\nelse:\n " + WAIT.replace(
        "\n", "\n "
    )
    async with job_cluster(tmp_path) as cluster:
        cluster.create("shards", program, completions=2, parallelism=2, completionMode="Indexed")
        await cluster.until(lambda: pids(cluster.root) and cluster.status("shards").get("completedIndexes") == "0")
    (cluster.root / "go").touch()
    async with job_cluster(tmp_path) as again:
        assert (await again.end_of("shards"))["completedIndexes"] == "0,1"
    assert (cluster.root / "zero").read_text() == "x"


async def test_a_finished_job_is_shown_after_a_restart_and_not_run_again(tmp_path: Path) -> None:
    async with job_cluster(tmp_path) as cluster:
        cluster.create("once", "open('runs', 'a').write('x')")
        before = await cluster.end_of("once")
    async with job_cluster(tmp_path) as again:
        assert again.status("once") == before
        assert again.jobs.unfinished == 0
    assert (cluster.root / "runs").read_text() == "x"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
