"""All checks of a cluster, on a real API server with Knative's custom resources; Knative itself need not run on it."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.doctor.finding import Finding, Level
from tidegate.doctor.run import Settings, run

pytestmark = pytest.mark.cluster
Object = dict[str, Any]
Kubectl = Callable[..., str]
Doctor = Callable[..., list[Finding]]
ROOT = Path(__file__).parents[3]
SERVICE: Object = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "price"},
    "spec": {"template": {"spec": {"containers": [{"image": "dev.local/price:1"}]}}},
}


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def doctor(tmp_path: Path, namespace: str) -> Doctor:
    """The findings of these objects on the cluster, in a namespace of this test."""

    def look(*objects: Object, in_namespace: str | None = namespace, kubeconfig: Path | None = None) -> list[Finding]:
        file = tmp_path / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        settings = Settings(manifests=str(file), root=ROOT, port=0, cluster=True, kubeconfig=kubeconfig, namespace=in_namespace)
        return [finding for group, finding in run(settings) if group != "this machine"]

    return look


def _of(found: list[Finding], subject: str) -> Finding:
    return next(finding for finding in found if finding.subject == subject)


def _error_of(found: list[Finding], subject: str) -> Finding:
    return _of([finding for finding in found if finding.level is Level.ERROR], subject)


def _changed(**container: Any) -> Object:
    item = copy.deepcopy(SERVICE)
    item["spec"]["template"]["spec"]["containers"][0] |= container
    return item


def _kubeconfig(kubectl: Kubectl, file: Path, user: Object, *, trusted: bool = True) -> Path:
    content = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    content["users"][0]["user"] = user
    if not trusted:
        content["clusters"][0]["cluster"].pop("certificate-authority-data", None)
    file.write_text(json.dumps(content))
    return file


def test_base_needs_only_images_and_a_namespace(kubectl: Kubectl, namespace: str) -> None:
    settings = Settings(manifests=str(ROOT / "manifests/base"), root=ROOT, port=0, cluster=True, namespace=namespace)
    found = [finding for group, finding in run(settings) if group != "this machine"]
    assert _of(found, "API server").level is Level.OK
    assert _of(found, "kinds").level is Level.OK
    assert _of(found, "permissions").level is Level.OK
    assert _of(found, f"namespace {namespace}").level is Level.OK
    assert _of(found, "dry run").message == "the server accepts all 11 objects"
    assert _of(found, "images").message.startswith("batch, flights, router and stream name no registry")
    assert f"`namespace: {namespace}`" in _of(found, "permissions of the router").remedy
    assert not json.loads(kubectl("-n", namespace, "get", "ksvc,deployments,roles", "-o", "json"))["items"]


def test_kinds_that_are_not_served_are_named(doctor: Doctor) -> None:
    thing = {"apiVersion": "tidegate.example.com/v1", "kind": "Thing", "metadata": {"name": "a"}}
    newer = {"apiVersion": "serving.knative.dev/v9", "kind": "Service", "metadata": {"name": "a"}}
    found = [finding.message for finding in doctor(SERVICE, thing, newer) if finding.subject == "kinds"]
    assert found == [
        "Service is used as serving.knative.dev/v9; the cluster serves serving.knative.dev/v1, serving.knative.dev/v1beta1.",
        "Thing (tidegate.example.com/v1) is not served: its custom resource definition is not installed.",
    ]


def test_unknown_field_has_the_servers_message(doctor: Doctor) -> None:
    found = _of(doctor(_changed(imagePolicy="Never")), "Service price")
    assert found.level is Level.ERROR
    assert "imagePolicy" in found.message
    assert "manifests.yaml" in found.remedy


def test_missing_namespace_has_the_command_that_creates_it(doctor: Doctor) -> None:
    found = doctor(SERVICE, in_namespace="doctor-nowhere")
    assert _of(found, "namespace doctor-nowhere").remedy == "kubectl create namespace doctor-nowhere"
    assert _of(found, "dry run").level is Level.NOTE


def test_namespace_of_an_overlay_is_inspected(doctor: Doctor, kubectl: Kubectl, namespace: str) -> None:
    item = copy.deepcopy(SERVICE)
    item["metadata"]["namespace"] = namespace
    kubectl("-n", namespace, "create", "quota", "small", "--hard=requests.cpu=1m")
    assert _of(doctor(item, in_namespace=None), "quota small").level is Level.ERROR
    other = _of(doctor(item, in_namespace="default"), "namespace default")
    assert f"some name {namespace}" in other.message


def test_overlay_that_creates_its_namespace_is_not_an_error(doctor: Doctor) -> None:
    item = copy.deepcopy(SERVICE)
    item["metadata"]["namespace"] = "doctor-nowhere"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doctor-nowhere"}}
    found = doctor(made, item, in_namespace=None)
    assert "the manifests create it" in _of(found, "namespace doctor-nowhere").message
    assert _of(found, "dry run").level is Level.NOTE
    assert not [finding for finding in found if "not found" in finding.message]


def test_small_quota_is_an_error(doctor: Doctor, kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "create", "quota", "small", "--hard=requests.cpu=50m")
    found = _of(doctor(_changed(resources={"requests": {"cpu": "100m"}})), "quota small")
    assert found.level is Level.ERROR
    assert "one replica of each needs 125m, 50m of 50m are left" in found.message


def test_missing_key_of_a_secret_is_an_error(doctor: Doctor, kubectl: Kubectl, namespace: str) -> None:
    key = {"secretKeyRef": {"name": "login", "key": "password"}}
    item = _changed(env=[{"name": "PASSWORD", "valueFrom": key}])
    absent = _error_of(doctor(item), "Service price")
    kubectl("-n", namespace, "create", "secret", "generic", "login", "--from-literal=user=me")
    without_key = _error_of(doctor(item), "Service price")
    kubectl("-n", namespace, "delete", "secret", "login")
    kubectl("-n", namespace, "create", "secret", "generic", "login", "--from-literal=password=secret")
    assert absent.message.startswith("the Secret login, which it needs, is neither")
    assert absent.remedy == f"kubectl -n {namespace} create secret generic login --from-literal=password=…"
    assert without_key.message.startswith("password in the Secret login, which it needs, is neither")
    assert _of(doctor(item), "references").level is Level.OK


def test_traffic_to_an_unknown_revision_is_an_error(doctor: Doctor) -> None:
    item = copy.deepcopy(SERVICE)
    item["spec"]["traffic"] = [{"revisionName": "price-00007", "percent": 100}]
    assert "no revision price-00007" in _of(doctor(item), "traffic of price").message


def test_two_overlays_of_one_service_are_a_warning(doctor: Doctor, kubectl: Kubectl, namespace: str) -> None:
    one, two = copy.deepcopy(SERVICE), copy.deepcopy(SERVICE)
    one["metadata"]["labels"] = {"tidegate.dev/overlay": "production"}
    two["metadata"]["labels"] = {"tidegate.dev/overlay": "staging"}
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(one))
    found = [finding.message for finding in doctor(two) if finding.subject == "Service price" and "overlay" in finding.message]
    assert found == [
        "the overlay that created it is production, these manifests have staging (tidegate.dev/overlay): two are applied over each other."
    ]


def test_user_without_permissions_gets_one_error_and_notes(doctor: Doctor, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    kubectl("-n", namespace, "create", "serviceaccount", "poor")
    token = kubectl("-n", namespace, "create", "token", "poor").strip()
    found = doctor(SERVICE, kubeconfig=_kubeconfig(kubectl, tmp_path / "poor", {"token": token}))
    refused = _of(found, "permissions")
    assert [finding for finding in found if finding.level is Level.ERROR] == [refused]
    assert f"in {namespace} this user may not: get, create and patch services.serving.knative.dev." in refused.message
    assert "--verb=create,get,patch --resource=services.serving.knative.dev" in refused.remedy
    assert {_of(found, subject).level for subject in (f"namespace {namespace}", "quota", "pods", "services", "overlays")} == {Level.NOTE}


def test_wrong_token_and_missing_authority_have_different_reasons(doctor: Doctor, kubectl: Kubectl, tmp_path: Path) -> None:
    if not json.loads(kubectl("config", "view", "--minify", "-o", "json"))["clusters"][0]["cluster"]["server"].startswith("https"):
        pytest.skip("the cluster of KUBECONFIG speaks no TLS: name one that does.")
    (expired,) = doctor(SERVICE, kubeconfig=_kubeconfig(kubectl, tmp_path / "expired", {"token": "old"}))
    strange = _kubeconfig(kubectl, tmp_path / "strange", {"token": "old"}, trusted=False)
    (unknown,) = doctor(SERVICE, kubeconfig=strange)
    assert "does not accept the credentials" in expired.message
    assert "certificate" in unknown.message
    assert "certificate-authority-data" in unknown.remedy
