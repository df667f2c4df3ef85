"""The changes that the overlays make to the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate import kustomize

Objects = dict[tuple[str, str], dict[str, Any]]
Build = Callable[..., Objects]
ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.name for path in (ROOT / "manifests/overlays").iterdir())
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
SCALING = "autoscaling.knative.dev/"


def services(objects: Objects) -> dict[str, dict[str, str]]:
    """The scaling annotations of each Knative Service."""
    return {name: item["spec"]["template"]["metadata"]["annotations"] for (kind, name), item in objects.items() if kind == "Service"}


@each_overlay
def test_overlay_has_every_object_of_the_base(build: Build, overlay: str) -> None:
    assert build().keys() <= build(base=f"overlays/{overlay}").keys()


def test_skaffold_deploys_existing_overlays() -> None:
    skaffold = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    parts = [skaffold, *skaffold["profiles"]]
    paths = [path for part in parts for path in part.get("manifests", {}).get("kustomize", {}).get("paths", [])]
    assert all(kustomize.file_of(ROOT / path) for path in paths)
    assert {Path(path).name for path in paths} == set(OVERLAYS)


def test_local_overlay_requests_little_cpu(build: Build) -> None:
    for (kind, _), item in build(base="overlays/local").items():
        if kind in ("Service", "Deployment"):
            assert item["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "10m"


def test_sync_overlay_keeps_a_writable_pod(build: Build) -> None:
    objects = build(base="overlays/sync")
    assert {annotations[f"{SCALING}min-scale"] for annotations in services(objects).values()} == {"1"}
    for (kind, _), item in objects.items():
        if kind == "Service":
            (container,) = item["spec"]["template"]["spec"]["containers"]
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108 where sources are copied


def test_production_namespace_enforces_restricted_pods(build: Build) -> None:
    objects = build(base="overlays/production")
    labels = objects[("Namespace", "tidegate")]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaced = [item["metadata"].get("namespace") for (kind, _), item in objects.items() if kind != "Namespace"]
    assert set(namespaced) == {"tidegate"}
    # The router's account is of this namespace, too: kustomize knows that, and a copy of the base would not.
    assert objects[("RoleBinding", "router")]["subjects"][0]["namespace"] == "tidegate"


def test_production_scales_further_over_a_longer_window(build: Build) -> None:
    before, after = services(build()), services(build(base="overlays/production"))
    for name, scaling in after.items():
        assert int(scaling[f"{SCALING}max-scale"]) > int(before[name][f"{SCALING}max-scale"])
        assert scaling[f"{SCALING}window"] == "60s"
    assert after.keys() == before.keys()


# Custom resources whose definitions no API server without their controllers has.
NEED_KNATIVE_KAFKA = {"KafkaSink", "KafkaSource"}


@pytest.mark.cluster
@pytest.mark.parametrize("base", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_api_server_accepts_the_objects_strictly(
    build: Build, kubectl: Callable[..., str], strictly: Callable[..., list[str]], base: str
) -> None:
    everything = (
        *("kafka-broker", "kafka-source", "kafka-sasl-tls", "kafka-single-node", "network-policy", "nightly-batch", "batch-events"),
        *("sharded-batch", "rollout", "router-outcomes", "service-monitor", "stream-keda", "stream-keda-seconds", "warm-replica"),
    )
    served = {line.split()[-1] for line in kubectl("api-resources", "--no-headers").splitlines()}
    objects = build(*everything, base=base)
    assert {kind for kind, _ in objects} - served <= NEED_KNATIVE_KAFKA
    known = [item for (kind, _), item in objects.items() if kind in served and kind != "Namespace"]
    assert len(strictly(known)) == len(known)


@pytest.mark.cluster
def test_api_server_accepts_an_event_policy(build: Build, strictly: Callable[..., list[str]]) -> None:
    objects = build("nightly-batch", "event-policy")
    try:
        taken = strictly([objects[("EventPolicy", "batch")]])
    except AssertionError as error:
        if "oidc-authentication feature not enabled" not in str(error):
            raise
        pytest.skip("the cluster's Knative Eventing has no OIDC: enable authentication-oidc in its config-features.")
    assert taken == ["eventpolicy.eventing.knative.dev/batch"]
