"""The Job of an event: names and paths as Knative's JobSink gives them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tidegate.local.apiserver.resources import RESOURCES
from tidegate.local.eventing.jobs.event_job import Run, job_of
from tidegate.local.objects.eventing import JobSink
from tidegate.local.objects.validation import Object, parse

BATCH = Path(__file__).parents[5] / "manifests/base/batch/jobsink.yaml"


def run(sink: str = "batch", source: str = "/demo", id_: str = "1") -> Run:
    return Run(namespace="default", sink=sink, source=source, id=id_)


def sink(pod: Object | None = None, **spec: Any) -> JobSink:
    container = {"name": "work", "image": "work"}
    job = {"spec": {**spec, "template": {"spec": {"restartPolicy": "Never", "containers": [container], **(pod or {})}}}}
    metadata = {"name": "batch", "namespace": "default", "uid": "u-1"}
    return parse(JobSink, {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "metadata": metadata, "spec": {"job": job}})


def test_a_job_is_named_after_the_digest_of_source_and_id() -> None:
    # The digest was printed by a Go program.
    assert run().job == "batch-7a1c7d88ddf1bdd3ff122512e0fa3ade"


@given(sink=st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True), source=st.text(min_size=1), id_=st.text(min_size=1))
def test_a_job_has_a_valid_name_that_depends_on_everything(sink: str, source: str, id_: str) -> None:
    name = run(sink, source, id_).job
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name == run(sink, source, id_).job
    assert name != run(sink, source, id_ + "x").job
    assert len(sink) > 30 or name.startswith(f"{sink}-")


@pytest.mark.parametrize(
    ("source", "escaped"),
    [
        # Both were printed by a Go program, with url.PathEscape.
        ("/apis/v1/x?y=z#t", "%2Fapis%2Fv1%2Fx%3Fy=z%23t"),
        ("a b+c&d=e:f@g$h,i;j!k*l'm(n)o~p%q\"r<ü>", "a%20b+c&d=e:f@g$h%2Ci%3Bj%21k%2Al%27m%28n%29o~p%25q%22r%3C%C3%BC%3E"),
    ],
    ids=["uri", "all"],
)
def test_a_location_is_escaped_as_by_go(source: str, escaped: str) -> None:
    assert run(source=source).location == f"/namespaces/default/name/batch/sources/{escaped}/ids/1"


@given(source=st.text(min_size=1), id_=st.text(min_size=1))
def test_a_location_leads_back_to_its_run(source: str, id_: str) -> None:
    assert Run.at(run(source=source, id_=id_).location) == run(source=source, id_=id_)
    assert Run.at(run(source=source, id_=id_).location + "/") == run(source=source, id_=id_)


@pytest.mark.parametrize("path", ["/", "/default/batch", "/namespaces/default/name/batch/sources/s", "/a/b/c/d/e/f/g/h/i"])
def test_another_path_is_no_location(path: str) -> None:
    assert Run.at(path) is None


def test_the_job_is_labelled_owned_and_given_the_event() -> None:
    made = job_of(sink(backoffLimit=2), run())
    assert made["metadata"] == {
        "name": run().job,
        "namespace": "default",
        "labels": {"sinks.knative.dev/job-sink-id": run().job, "sinks.knative.dev/job-sink-name": "batch"},
        "ownerReferences": [
            {
                "apiVersion": "sinks.knative.dev/v1alpha1",
                "kind": "jobsinks",
                "name": "batch",
                "uid": "u-1",
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    assert made["spec"]["backoffLimit"] == 2
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["env"] == [{"name": "K_EXECUTION_MODE", "value": "batch"}, {"name": "K_EVENT_PATH", "value": "/etc/jobsink-event"}]
    assert container["volumeMounts"] == [{"name": "jobsink-event", "readOnly": True, "mountPath": "/etc/jobsink-event"}]
    assert pod["volumes"] == [{"name": "jobsink-event", "secret": {"secretName": run().job}}]


def test_a_mount_of_the_event_in_the_template_is_kept() -> None:
    mount = {"name": "jobsink-event", "mountPath": "/in"}
    container = {"name": "work", "image": "work", "volumeMounts": [mount], "env": [{"name": "K_EXECUTION_MODE", "value": "mine"}]}
    pod = job_of(sink({"containers": [container]}), run())["spec"]["template"]["spec"]
    assert pod["containers"][0]["volumeMounts"] == [mount]
    assert pod["containers"][0]["env"] == [{"name": "K_EXECUTION_MODE", "value": "mine"}, {"name": "K_EVENT_PATH", "value": "/in"}]


def test_the_job_of_the_batch_manifest_is_admitted() -> None:
    manifest = yaml.safe_load(BATCH.read_text())
    item = RESOURCES["jobs"].admit(job_of(parse(JobSink, manifest), run()), None)
    assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "batch"
    assert item["spec"]["ttlSecondsAfterFinished"] == 86400
