from __future__ import annotations

from typing import Any, cast

import pytest

from tidegate.doctor.cluster.client import Answer, Cluster
from tidegate.doctor.cluster.target import Resource, Target
from tidegate.documents import Document

Object = dict[str, Any]
SERVICE: Object = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "flights"}}
NODE: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}}
PATH = "/apis/serving.knative.dev/v1/namespaces/mine/services/flights"
SERVED = {
    ("serving.knative.dev/v1", "Service"): Resource(group_version="serving.knative.dev/v1", name="services", namespaced=True),
    ("v1", "Node"): Resource(group_version="v1", name="nodes", namespaced=False),
}


class _Api:
    """An API that has one Knative Service."""

    def call(self, method: str, path: str, *_: object, **query: str) -> Answer:
        return Answer(200, SERVICE) if (method, path) == ("GET", PATH) else Answer(404, {})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cast("Any", _Api()), "mine", [Document("flights.yaml", SERVICE)])


def test_paths_have_a_namespace_if_the_kind_has(cluster: Cluster) -> None:
    target = Target(cluster=cluster, served=SERVED)
    assert target.path(SERVICE) == PATH
    assert target.path(NODE) == "/api/v1/nodes/one"
    assert target.path({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "a"}}) is None


def test_existing_object_is_read(cluster: Cluster) -> None:
    target = Target(cluster=cluster, served=SERVED)
    assert target.live(SERVICE) == SERVICE
    assert target.live(NODE) is None


def test_missing_namespace_has_no_objects(cluster: Cluster) -> None:
    assert Target(cluster=cluster, served=SERVED, has_namespace=False).live(SERVICE) is None


def test_forbidden_resources_are_known_by_their_full_name(cluster: Cluster) -> None:
    target = Target(cluster=cluster, served=SERVED, forbidden={"services.serving.knative.dev"})
    assert target.is_forbidden(SERVICE)
    assert not target.is_forbidden(NODE)
