from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.errors import NotReady
from functions.runtime.knative.traffic import Arm, Model, model_of


def service(*traffic: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "flights"},
        "spec": {"traffic": [{"latestRevision": True, "percent": 100}]},
        "status": {"address": {"url": "http://flights.default.svc.cluster.local"}, "traffic": list(traffic), **status},
    }


def test_a_tag_has_a_host_of_its_own() -> None:
    model = model_of(
        service(
            {"revisionName": "flights-00001", "tag": "v1", "percent": 90},
            {"revisionName": "flights-00002", "tag": "v2", "percent": 10},
            {"revisionName": "flights-00003", "tag": "v3", "percent": 0},
        )
    )
    assert model.split == (
        Arm("flights-00001", ("v1",), 90, "http://v1-flights.default.svc.cluster.local"),
        Arm("flights-00002", ("v2",), 10, "http://v2-flights.default.svc.cluster.local"),
    )
    assert model.named("v3").url == "http://v3-flights.default.svc.cluster.local"


def test_a_single_revision_needs_no_tag() -> None:
    model = model_of(service({"revisionName": "flights-00001", "percent": 100, "latestRevision": True}))
    assert model.split == (Arm("flights-00001", (), 100, "http://flights.default.svc.cluster.local"),)


def test_a_revision_that_is_listed_twice_is_one_arm() -> None:
    model = model_of(
        service(
            {"revisionName": "flights-00001", "percent": 70},
            {"revisionName": "flights-00002", "percent": 30, "tag": "canary"},
            {"revisionName": "flights-00001", "tag": "stable"},
            {"revisionName": "flights-00001", "tag": "old"},
        )
    )
    assert [(arm.revision, arm.tags, arm.percent) for arm in model.split] == [
        ("flights-00001", ("stable", "old"), 70),
        ("flights-00002", ("canary",), 30),
    ]


def test_a_share_without_a_tag_cannot_be_called() -> None:
    with pytest.raises(NotReady, match="sends 10% to revision flights-00002, which has no tag to call it by; give it a tag"):
        model_of(service({"revisionName": "flights-00001", "tag": "v1", "percent": 90}, {"revisionName": "flights-00002", "percent": 10}))


def test_a_service_that_is_not_ready_has_no_arms() -> None:
    with pytest.raises(NotReady, match="no revision that is ready"):
        model_of(service())
    with pytest.raises(NotReady, match="no address"):
        model_of({"metadata": {"name": "flights"}, "spec": {}})


def test_the_specification_serves_until_the_status_is_there() -> None:
    model = model_of(service(latestReadyRevisionName="flights-00004"))
    assert [arm.revision for arm in model.split] == ["flights-00004"]


def test_the_rollout_is_part_of_the_salt() -> None:
    entry = service({"revisionName": "flights-00001", "percent": 100})
    assert model_of(entry).salt == b"flights/"
    entry["metadata"]["annotations"] = {"tidegate.dev/rollout": "7"}
    assert model_of(entry).salt == b"flights/7"


def test_an_arm_is_followed_by_its_revision_as_it_is_addressed_now() -> None:
    before, after, without = (
        Model("m", arms, arms, b"")
        for arms in (
            (Arm("m-1", ("stable",), 90, "http://stable-m"), Arm("m-2", ("canary",), 10, "http://canary-m")),
            (Arm("m-2", (), 100, "http://m"),),
            (Arm("m-3", (), 100, "http://m"),),
        )
    )
    assert after.successor(before.arms[1]).url == "http://m"
    assert without.successor(before.arms[1]).revision == "m-3"
