"""Rules for every manifest, and their validation by an API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BASE = ROOT / "manifests" / "base"
SCALING = "autoscaling.knative.dev/"


def _kustomized(folder: Path) -> Iterator[Path]:
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = folder / name
        yield from _kustomized(path) if path.is_dir() else [path]


FILES = list(_kustomized(BASE))
NO_OBJECTS = {"kustomization.yaml", "references.yaml"}
OBJECTS: list[dict[str, Any]] = [item for path in FILES for item in yaml.safe_load_all(path.read_text())]
SERVICES = [item for item in OBJECTS if item["apiVersion"].startswith("serving.knative.dev/")]
each_object = pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda item: item["metadata"]["name"])


def _template(item: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template of a workload."""
    spec = item.get("spec", {})
    return next((part["template"] for part in (spec, spec.get("job", {}).get("spec", {})) if "template" in part), None)


WORKLOADS = [(item, template) for item in OBJECTS if (template := _template(item)) is not None]
each_workload = pytest.mark.parametrize(("item", "template"), WORKLOADS, ids=lambda part: part.get("kind", ""))


def _named(kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in OBJECTS if item["kind"] == kind}


def _environment(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def test_base_includes_every_file_once() -> None:
    assert sorted(FILES) == sorted(path for path in BASE.rglob("*.yaml") if path.name not in NO_OBJECTS)
    names = [(item["kind"], item["metadata"]["name"]) for item in OBJECTS]
    assert len(names) == len(set(names))


@each_object
def test_object_has_standard_labels_and_no_namespace(item: dict[str, Any]) -> None:
    labels = item["metadata"]["labels"]
    assert labels["app.kubernetes.io/part-of"] == "tidegate"
    assert labels["app.kubernetes.io/component"]
    assert labels["app.kubernetes.io/name"] == item["metadata"]["name"]
    assert "namespace" not in item["metadata"]


@each_workload
def test_pod_has_the_labels_of_its_workload(item: dict[str, Any], template: dict[str, Any]) -> None:
    assert template["metadata"]["labels"] == item["metadata"]["labels"]


@each_workload
def test_container_is_restricted(item: dict[str, Any], template: dict[str, Any]) -> None:
    (container,) = template["spec"]["containers"]
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        # Without it, a container whose user is only in the image runs with the group of root.
        "runAsGroup": 65532,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    # What starts from zero has no volume that its start would wait for.
    expected = [] if item["kind"] == "Service" else ["/tmp"]  # noqa: S108
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == expected


@each_workload
def test_volumes_have_a_size_limit(item: dict[str, Any], template: dict[str, Any]) -> None:
    assert all(volume["emptyDir"]["sizeLimit"] for volume in template["spec"]["volumes"] if "emptyDir" in volume)


def test_job_has_a_deadline() -> None:
    assert all(sink["spec"]["job"]["spec"]["activeDeadlineSeconds"] > 0 for sink in _named("JobSink").values())


@each_workload
def test_only_the_router_has_a_service_account_token(item: dict[str, Any], template: dict[str, Any]) -> None:
    account = template["spec"]["serviceAccountName"]
    assert account in _named("ServiceAccount")
    assert template["spec"].get("automountServiceAccountToken", True) is (account == "router")


@each_service
def test_service_scales_from_and_to_zero(service: dict[str, Any]) -> None:
    assert not any(name.startswith(SCALING) for name in service["metadata"].get("annotations", {}))
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    assert annotations[f"{SCALING}min-scale"] == "0"
    assert {f"{SCALING}{name}" for name in ("target", "window", "max-scale", "scale-to-zero-pod-retention-period")} <= annotations.keys()


@each_service
def test_probes_suit_a_cold_start(service: dict[str, Any]) -> None:
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http1", "containerPort": 8080}]
    # A field beside the handler and Knative's own default would take the probe out of queue-proxy's fast path.
    assert container["readinessProbe"] == {"httpGet": {"path": "/v2/health/ready"}, "successThreshold": 1}
    assert container["livenessProbe"] == {"httpGet": {"path": "/v2/health/live"}}
    assert "startupProbe" not in container


def test_model_function_times_out_with_knative() -> None:
    service = _named("Service")["flights"]
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert float(_environment(container)["TIDEGATE_TIMEOUT_SECONDS"]) == service["spec"]["template"]["spec"]["timeoutSeconds"]


def _artifacts(name: str) -> dict[str, dict[str, Any]]:
    """The artifacts of a skaffold profile by image; those outside profiles for an empty name."""
    skaffold = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    (part,) = [skaffold] if not name else [profile for profile in skaffold["profiles"] if profile["name"] == name]
    return {artifact["image"]: artifact for artifact in part["build"]["artifacts"]}


@pytest.mark.parametrize("profile", ["", "sync", "buildah", "buildah-sync"])
def test_skaffold_builds_every_image(profile: str) -> None:
    rollout = yaml.safe_load((ROOT / "manifests/components/rollout/service.yaml").read_text())
    templates = [template for _, template in WORKLOADS] + [_template(rollout)]
    assert _artifacts(profile).keys() == {template["spec"]["containers"][0]["image"] for template in templates if template}


@pytest.mark.parametrize("profile", ["", "sync"])
def test_docker_build_uses_the_function_and_its_pins(profile: str) -> None:
    for image, artifact in _artifacts(profile).items():
        arguments = artifact.get("docker", {})["buildArgs"]
        assert arguments["FUNCTION"] == image
        assert (ROOT / "requirements" / f"{arguments.get('EXTRA', image)}.txt").exists()
        assert (ROOT / arguments.get("MODULE", f"functions/{image}")).is_dir()
        assert (ROOT / artifact["docker"]["dockerfile"]).exists()


@pytest.mark.parametrize(("docker", "buildah"), [("", "buildah"), ("sync", "buildah-sync")])
def test_buildah_and_docker_build_the_same(docker: str, buildah: str) -> None:
    for image, artifact in _artifacts(buildah).items():
        arguments = _artifacts(docker)[image]["docker"]["buildArgs"]
        target = _artifacts(docker)[image]["docker"].get("target")
        words = [f"TARGET={target}"] if target else []
        words += ["functions/build.sh", image, arguments.get("EXTRA", image), *([arguments["MODULE"]] if "MODULE" in arguments else [])]
        assert artifact["custom"]["buildCommand"].split() == words
        assert artifact.get("sync") == _artifacts(docker)[image].get("sync")
        for path in artifact["custom"]["dependencies"]["paths"]:
            assert list(ROOT.glob(path)), f"{image} depends on {path}, which is not there"


def test_stream_worker_is_bound_to_its_model_at_the_router() -> None:
    binding = _named("SinkBinding")["stream-flights"]["spec"]
    worker = _named("Deployment")[binding["subject"]["name"]]
    model = _environment(worker["spec"]["template"]["spec"]["containers"][0])["TIDEGATE_STREAM_MODEL"]
    assert binding["sink"]["ref"]["name"] == "router"
    assert binding["sink"]["uri"] == f"/models/{model}"
    assert {"router", model} <= _named("Service").keys()


@pytest.mark.cluster
def test_api_server_accepts_the_base(strictly: Callable[..., list[str]]) -> None:
    assert len(strictly(OBJECTS)) == len(OBJECTS)


@pytest.mark.cluster
def test_jobsink_has_a_valid_job(strictly: Callable[..., list[str]]) -> None:
    # The custom resource takes any object as its job.
    for name, sink in _named("JobSink").items():
        job = {"apiVersion": "batch/v1", "kind": "Job", **sink["spec"]["job"]}
        job["metadata"] = {**job["metadata"], "name": name}
        assert strictly([job]) == [f"job.batch/{name}"]


@pytest.mark.cluster
def test_api_server_refuses_an_unknown_field(strictly: Callable[..., list[str]]) -> None:
    service = json.loads(json.dumps(SERVICES[0]))
    service["spec"]["template"]["spec"]["timeoutSecond"] = 60
    with pytest.raises(AssertionError, match="unknown field"):
        strictly([service])
