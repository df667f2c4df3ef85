from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from functions.rollout.decisions import apply
from functions.rollout.errors import InvalidState, NotPossible
from functions.rollout.service import adopt, annotate, begin, move, rollout_of, traffic_of
from functions.rollout.state import Decision, Kind, Phase, State
from functions.runtime.knative.traffic import model_of
from tests.functions.rollout.examples import CANARY, STABLE, a_policy, a_state

NOW = 1_000.5
SERVICE: dict[str, Any] = {
    "metadata": {"name": "flights", "resourceVersion": "7"},
    "spec": {"traffic": [{"revisionName": STABLE, "latestRevision": False, "percent": 100, "tag": "stable"}]},
    "status": {
        "latestCreatedRevisionName": CANARY,
        "latestReadyRevisionName": CANARY,
        "traffic": [{"revisionName": STABLE, "latestRevision": False, "percent": 100, "tag": "stable"}],
        "url": "http://flights.default.example.com",
    },
}


def patched(service: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The Service after a merge patch, and after Knative has applied its traffic."""
    assert patch["metadata"].pop("resourceVersion") == service["metadata"]["resourceVersion"]
    after = deepcopy(service)
    after["metadata"].setdefault("annotations", {}).update(patch["metadata"]["annotations"])
    if "spec" in patch:
        after["spec"] |= patch["spec"]
        after["status"]["traffic"] = patch["spec"]["traffic"]
    return after


def with_traffic(*targets: tuple[str, int], service: dict[str, Any] = SERVICE) -> dict[str, Any]:
    after = deepcopy(service)
    after["spec"]["traffic"] = [{"revisionName": name, "percent": percent, "tag": f"t-{name}"} for name, percent in targets]
    after["status"]["traffic"] = after["spec"]["traffic"]
    return after


def test_a_rollout_splits_between_pinned_revisions_and_the_router_follows() -> None:
    state = begin(SERVICE, a_policy(), NOW)
    assert (state.stable, state.canary, state.percent, state.rollout) == (STABLE, CANARY, 5, f"{CANARY}-1000")

    service = patched(SERVICE, move(SERVICE, state))
    assert service["spec"]["traffic"] == [
        {"revisionName": STABLE, "latestRevision": False, "percent": 95, "tag": "stable"},
        {"revisionName": CANARY, "latestRevision": False, "percent": 5, "tag": "canary"},
    ]
    assert rollout_of(service) == state
    service["status"]["latestReadyRevisionName"] = "flights-00003"  # a template that was pushed meanwhile
    model = model_of(service)
    assert model.stable.revision == STABLE
    assert [(arm.revision, arm.percent, arm.url) for arm in model.canaries] == [(CANARY, 5, "http://canary-flights.default.example.com")]
    assert model.salt == f"flights/{state.rollout}".encode()


@pytest.mark.parametrize(
    ("kind", "phase", "percent", "revision"),
    [(Kind.PROMOTE, Phase.PROMOTED, 100, CANARY), (Kind.ROLL_BACK, Phase.ROLLED_BACK, 0, STABLE)],
)
def test_the_loser_leaves_the_traffic(kind: Kind, phase: Phase, percent: int, revision: str) -> None:
    state = begin(SERVICE, a_policy(), NOW)
    service = patched(SERVICE, move(SERVICE, state))
    state = apply(state, Decision(kind=kind, sentence="because.", percent=percent, phase=phase))
    service = patched(service, move(service, state))

    assert service["spec"]["traffic"] == [{"revisionName": revision, "latestRevision": False, "percent": 100, "tag": "stable"}]
    assert [arm.revision for arm in model_of(service).arms] == [revision]
    # The next rollout starts from there, with other keys.
    service["status"]["latestCreatedRevisionName"] = service["status"]["latestReadyRevisionName"] = "flights-00003"
    following = begin(service, a_policy(), NOW + 60)
    assert (following.stable, following.canary) == (revision, "flights-00003")
    assert following.rollout != state.rollout


def test_a_shadow_gets_copies_only() -> None:
    state = begin(SERVICE, a_policy("steps: [0, 5, 100]"), NOW)
    service = patched(SERVICE, move(SERVICE, state))
    model = model_of(service)
    assert model.shadow is not None
    assert (model.shadow.revision, model.canaries) == (CANARY, ())
    assert adopt(service, state, NOW) == state

    state = apply(state, Decision(kind=Kind.ADVANCE, sentence="because.", percent=5))
    model = model_of(patched(service, move(service, state)))
    assert (model.shadow, [arm.percent for arm in model.split]) == (None, [95, 5])


def test_tags_without_a_percentage_stay() -> None:
    service = deepcopy(SERVICE)
    preview = {"revisionName": "flights-00007", "tag": "preview", "latestRevision": False}
    service["spec"]["traffic"] += [preview, {"revisionName": "flights-00005", "tag": "canary", "percent": 0}]
    state = begin(service, a_policy(), NOW)

    assert [(entry["revisionName"], entry["tag"]) for entry in traffic_of(service, state)] == [
        (STABLE, "stable"),
        (CANARY, "canary"),
        ("flights-00007", "preview"),
    ]


def test_the_state_is_written_without_a_change_of_traffic() -> None:
    state = begin(SERVICE, a_policy(), NOW)

    assert set(annotate(SERVICE, state)) == {"metadata"}
    assert annotate(SERVICE, state)["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    ("change", "names", "sentence"),
    [
        ({}, {"canary": STABLE}, f"flights has no revision that is newer than {STABLE}"),
        ({"latestCreatedRevisionName": "flights-00003"}, {}, "the newest revision of flights, flights-00003, is not ready"),
        ({"latestReadyRevisionName": None, "traffic": []}, {}, "the newest revision of flights, flights-00002, is not ready"),
        (
            {"traffic": [{"revisionName": "a", "percent": 50}, {"revisionName": "b", "percent": 50}]},
            {},
            "the traffic of flights is split between a and b already; give one of them all traffic, or name the stable one",
        ),
    ],
)
def test_a_rollout_that_cannot_begin_says_why(change: dict[str, Any], names: dict[str, str], sentence: str) -> None:
    service = SERVICE | {"status": SERVICE["status"] | change}
    with pytest.raises(NotPossible, match=sentence):
        begin(service, a_policy(), NOW, **names)


def test_one_rollout_at_a_time() -> None:
    service = patched(SERVICE, move(SERVICE, begin(SERVICE, a_policy(), NOW)))

    with pytest.raises(NotPossible, match=f"flights has a rollout of {CANARY} already"):
        begin(service, a_policy(), NOW)
    service["metadata"]["annotations"]["tidegate.dev/rollout"] = "by-hand"
    assert rollout_of(service) is None
    service["metadata"]["annotations"] |= {"tidegate.dev/rollout-state": "{}"}
    with pytest.raises(InvalidState):
        rollout_of(service)


@pytest.mark.parametrize(
    ("targets", "percent", "phase", "sentence"),
    [
        ([(STABLE, 70), (CANARY, 30)], 30, Phase.RUNNING, f"A user gave 30% to {CANARY}."),
        ([(STABLE, 100)], 0, Phase.ROLLED_BACK, f"A user gave 0% to {CANARY}."),
        ([(CANARY, 100)], 100, Phase.PROMOTED, f"A user gave 100% to {CANARY}."),
        (
            [(STABLE, 60), (CANARY, 20), ("flights-00003", 20)],
            0,
            Phase.ROLLED_BACK,
            f"The rollout of {CANARY} is over: a user gave traffic to flights-00003.",
        ),
    ],
)
def test_the_rollout_follows_what_a_user_changes(targets: list[tuple[str, int]], percent: int, phase: Phase, sentence: str) -> None:
    state = adopt(with_traffic(*targets), a_state(20), NOW)

    assert (state.percent, state.phase) == (percent, phase)
    assert state.decisions[-1].sentence == sentence


@pytest.mark.parametrize("state", [a_state(20), a_state(5, phase=Phase.ROLLED_BACK)])
def test_nothing_follows_from_the_traffic_of_the_rollout_itself(state: State) -> None:
    assert adopt(with_traffic((STABLE, 80), (CANARY, 20)), state, NOW) == state
