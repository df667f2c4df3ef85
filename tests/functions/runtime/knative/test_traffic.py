from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.errors import NotReady
from functions.runtime.knative.traffic import Arm, RoutedModel, latency_slo_of, model_of


def service(*traffic: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "flights"},
        "spec": {"traffic": [{"latestRevision": True, "percent": 100}]},
        "status": {"address": {"url": "http://flights.default.svc.cluster.local"}, "traffic": list(traffic), **status},
    }


def arm(revision: str, *tags: str, percent: int, url: str) -> Arm:
    return Arm(revision=revision, tags=tags, percent=percent, url=url)


def test_a_tag_has_its_own_host() -> None:
    model = model_of(
        service(
            {"revisionName": "flights-00001", "tag": "v1", "percent": 90},
            {"revisionName": "flights-00002", "tag": "v2", "percent": 10},
            {"revisionName": "flights-00003", "tag": "v3", "percent": 0},
        )
    )
    assert model.stable == arm("flights-00001", "v1", percent=90, url="http://v1-flights.default.svc.cluster.local")
    assert model.canaries == (arm("flights-00002", "v2", percent=10, url="http://v2-flights.default.svc.cluster.local"),)
    assert model.named("v3").url == "http://v3-flights.default.svc.cluster.local"


def test_a_single_revision_needs_no_tag() -> None:
    model = model_of(service({"revisionName": "flights-00001", "percent": 100, "latestRevision": True}))
    assert model.split == (arm("flights-00001", percent=100, url="http://flights.default.svc.cluster.local"),)


def test_a_revision_listed_twice_is_one_arm() -> None:
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


def test_a_share_without_a_tag_is_refused() -> None:
    with pytest.raises(NotReady, match="sends 10% to revision flights-00002, which has no tag to call it by; give it a tag"):
        model_of(service({"revisionName": "flights-00001", "tag": "v1", "percent": 90}, {"revisionName": "flights-00002", "percent": 10}))


@pytest.mark.parametrize("percents", [(90, 5), (90, 20), (110, -10), (60,)])
def test_traffic_that_does_not_add_up_is_refused(percents: tuple[int, ...]) -> None:
    traffic = [{"revisionName": f"flights-0000{n}", "tag": f"v{n}", "percent": percent} for n, percent in enumerate(percents)]
    with pytest.raises(NotReady, match=f"the traffic of model flights adds up to {sum(percents)}%, not to 100%.*correct its percentages"):
        model_of(service(*traffic))


def test_a_revision_that_does_not_exist_is_not_routed_to() -> None:
    entry = service({"revisionName": "flights-00001", "percent": 100})
    entry["spec"]["traffic"] = [{"revisionName": "flights-00001", "percent": 50}, {"revisionName": "nope", "tag": "v2", "percent": 50}]
    entry["status"]["conditions"] = [{"type": "RoutesReady", "status": "False", "reason": "RevisionMissing"}]
    # Knative keeps the last traffic that it could apply in the status.
    assert [(arm.revision, arm.percent) for arm in model_of(entry).arms] == [("flights-00001", 100)]


def test_a_service_that_is_not_ready_has_no_arms() -> None:
    with pytest.raises(NotReady, match="no revision that is ready"):
        model_of(service())
    with pytest.raises(NotReady, match="no address"):
        model_of({"metadata": {"name": "flights"}, "spec": {}})


def test_the_specification_is_used_until_there_is_a_status() -> None:
    model = model_of(service(latestReadyRevisionName="flights-00004"))
    assert [arm.revision for arm in model.split] == ["flights-00004"]


STABLE = {"revisionName": "flights-00001", "tag": "stable", "percent": 80, "latestRevision": False}
CANARY = {"revisionName": "flights-00002", "tag": "canary", "percent": 20, "latestRevision": False}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([{**STABLE, "percent": 100}], {"flights-00001": 100}),
        ([{**STABLE, "percent": 50}, {**CANARY, "percent": 50}], {"flights-00001": 50, "flights-00002": 50}),
    ],
    ids=["roll-back", "step"],
)
def test_a_new_division_between_tags_of_the_status_is_in_force_at_once(asked: list[dict[str, Any]], found: dict[str, int]) -> None:
    item = service(STABLE, CANARY)
    item["spec"]["traffic"] = asked
    assert {arm.revision: arm.percent for arm in model_of(item).arms} == found


@pytest.mark.parametrize(
    "asked",
    [
        [{**CANARY, "tag": "stable", "percent": 100}],
        [{**STABLE, "revisionName": "flights-gone", "percent": 100}],
        [{"latestRevision": True, "percent": 100}],
        [{"revisionName": "flights-00001", "percent": 100}],
        [{**STABLE, "percent": 70}, {**CANARY, "percent": 20}, {"revisionName": "flights-00003", "tag": "new", "percent": 10}],
        [],
    ],
    ids=["tag that moves", "unknown revision", "no name", "no tag", "third revision", "none"],
)
def test_traffic_that_cannot_be_called_yet_waits_for_the_status(asked: list[dict[str, Any]]) -> None:
    item = service(STABLE, CANARY)
    item["spec"]["traffic"] = asked
    assert {arm.revision: arm.percent for arm in model_of(item).arms} == {"flights-00001": 80, "flights-00002": 20}


def test_the_rollout_is_part_of_the_salt() -> None:
    entry = service({"revisionName": "flights-00001", "percent": 100})
    assert model_of(entry).salt == b"flights/"
    entry["metadata"]["annotations"] = {"tidegate.dev/rollout": "7"}
    assert model_of(entry).salt == b"flights/7"


def test_the_successor_of_an_arm_is_the_current_arm_of_its_revision() -> None:
    before, after, without = (
        RoutedModel(name="m", arms=arms, stable=arms[0], canaries=arms[1:], salt=b"")
        for arms in (
            (arm("m-1", "stable", percent=90, url="http://stable-m"), arm("m-2", "canary", percent=10, url="http://canary-m")),
            (arm("m-2", percent=100, url="http://m"),),
            (arm("m-3", percent=100, url="http://m"),),
        )
    )
    (canary,) = before.canaries
    assert after.successor(canary).url == "http://m"
    assert without.successor(canary).revision == "m-3"


def test_the_shadow_is_the_revision_with_its_tag_and_without_a_percentage() -> None:
    stable = {"revisionName": "flights-00001", "tag": "v1", "percent": 100}
    assert model_of(service(stable)).shadow is None
    model = model_of(service(stable, {"revisionName": "flights-00002", "tag": "shadow"}))
    assert model.shadow == arm("flights-00002", "shadow", percent=0, url="http://shadow-flights.default.svc.cluster.local")
    assert model.split == (model.stable,)
    both = model_of(service({**stable, "percent": 90}, {"revisionName": "flights-00002", "tag": "shadow", "percent": 10}))
    assert both.shadow is None, "a revision that answers callers is no shadow"


@pytest.mark.parametrize(
    ("annotation", "value", "field", "found"),
    [
        *(("latency-slo", value, "latency_slo", found) for value, found in (("250ms", 0.25), ("2s", 2.0), ("1.5m", 90.0))),
        ("shadow-tolerance", "0.05", "shadow_tolerance", 0.05),
        ("shadow-tolerance", "0", "shadow_tolerance", 0.0),
        ("wake-with-router", "true", "wakes_with_router", True),
        ("wake-with-router", "false", "wakes_with_router", False),
        ("rollout", "7", "rollout", "7"),
    ],
)
def test_annotations_say_how_arms_are_compared_and_started(annotation: str, value: str, field: str, found: object) -> None:
    entry = service({"revisionName": "flights-00001", "percent": 100})
    entry["metadata"]["annotations"] = {f"tidegate.dev/{annotation}": value}
    model = model_of(entry)
    assert getattr(model, field) == found
    assert model.warnings == ()


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        *(
            (
                "latency-slo",
                value,
                "model flights: tidegate.dev/latency-slo is '{}', not a duration such as 250ms or 2s; the default, 1s, applies.",
            )
            for value in ("fast", "0s", "-1s", "10", "", "1h")
        ),
        *(
            ("shadow-tolerance", value, "model flights: tidegate.dev/shadow-tolerance is '{}', not a number of at least 0; it is ignored.")
            for value in ("much", "-1", "nan", "inf")
        ),
        *(
            ("wake-with-router", value, "model flights: tidegate.dev/wake-with-router is '{}', not true or false; it is ignored.")
            for value in ("yes", "True", "")
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_a_warning(annotation: str, value: str, sentence: str) -> None:
    entry = service({"revisionName": "flights-00001", "percent": 100})
    entry["metadata"]["annotations"] = {f"tidegate.dev/{annotation}": value}
    model = model_of(entry)
    assert (model.latency_slo, model.shadow_tolerance, model.wakes_with_router) == (1.0, None, False)
    assert model.warnings == (sentence.format(value),)


@pytest.mark.parametrize("value", ["9" * 10 + "s", "9" * 400 + "s", "1.1234567s", "٢s", "1e3s", " 1s", "1s\n"])
def test_a_latency_slo_is_a_number_of_bounded_length(value: str) -> None:
    assert latency_slo_of(value) is None
    assert latency_slo_of("999999999.999999m") == pytest.approx(999_999_999.999999 * 60)
