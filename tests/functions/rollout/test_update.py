from __future__ import annotations

import pytest

from functions.rollout.announcement import decided, started
from functions.rollout.errors import Contended
from functions.rollout.policy import POLICY
from functions.rollout.state import Decision, Kind, Phase
from functions.rollout.update import update
from tests.functions.rollout.cluster import FakeCluster
from tests.functions.rollout.examples import CANARY, STABLE, STARTED

ALARM = range(0, 2**32, 2**26)  # 64 keys with errors, all of the canary


@pytest.mark.parametrize("rivals", [0, 3])
def test_a_bad_canary_loses_its_traffic_in_the_same_write_as_its_state(rivals: int) -> None:
    cluster = FakeCluster(rivals)
    state, decisions = update(cluster, "flights", [cluster.outcome(canary=list(ALARM))], STARTED + 5)

    assert cluster.split == {STABLE: 100}
    assert cluster.state == state
    assert cluster.state.phase is Phase.ROLLED_BACK
    assert [decision.kind for decision in decisions] == [Kind.ROLL_BACK]
    assert set(cluster.patches[-1]) == {"metadata", "spec"}
    assert len(cluster.patches) == 2


def test_outcomes_are_written_once_and_without_a_change_of_traffic() -> None:
    cluster = FakeCluster()
    outcomes = [cluster.outcome(stable=[1])]
    assert update(cluster, "flights", outcomes, STARTED + 5)[1] == []
    assert cluster.state.comparisons["errors"].rest == 1
    assert set(cluster.patches[-1]) == {"metadata"}

    count = len(cluster.patches)
    update(cluster, "flights", [], STARTED + 6)
    assert len(cluster.patches) == count  # only the time has changed
    update(cluster, "flights", [], STARTED + 100)
    assert cluster.state.elapsed == 100.0


def test_a_service_that_changes_all_the_time_is_left_for_later() -> None:
    cluster = FakeCluster(rivals=10)

    with pytest.raises(Contended, match="the Knative Service flights changes all the time; deliver the outcomes again later"):
        update(cluster, "flights", [cluster.outcome(canary=list(ALARM))], STARTED + 5)
    assert cluster.split == {STABLE: 95, CANARY: 5}


def test_what_a_user_changes_is_adopted_and_stays() -> None:
    cluster = FakeCluster()
    cluster.service["spec"]["traffic"] = [{"revisionName": CANARY, "percent": 100}]
    state, decisions = update(cluster, "flights", [cluster.outcome(stable=[1])], STARTED + 5)

    assert state is not None
    assert (state.phase, [decision.metric for decision in decisions]) == (Phase.PROMOTED, ["manual"])
    assert cluster.split == {CANARY: 100}


def test_a_policy_that_cannot_be_read_pauses_and_still_rolls_back() -> None:
    cluster = FakeCluster()
    cluster.service["metadata"]["annotations"][POLICY] = "steps: many"
    update(cluster, "flights", [cluster.outcome(1, stable=[1])], STARTED + 5)
    assert cluster.split == {STABLE: 95, CANARY: 5}

    update(cluster, "flights", [cluster.outcome(2, canary=list(ALARM))], STARTED + 6)
    assert cluster.split == {STABLE: 100}


def test_a_model_without_a_rollout_has_nothing_to_update() -> None:
    cluster = FakeCluster()
    cluster.service["metadata"]["annotations"].clear()

    assert update(cluster, "flights", [cluster.outcome()], STARTED) == (None, ())
    assert update(cluster, "another", [cluster.outcome()], STARTED) == (None, ())


def test_a_decision_is_an_event_with_its_evidence_and_the_same_id_each_time() -> None:
    cluster = FakeCluster()
    state, (decision,) = update(cluster, "flights", [cluster.outcome(canary=list(ALARM))], STARTED + 5)
    assert state is not None
    event = decided(state, decision)

    assert (event.type, event.get("subject"), event.data["percent"]) == ("dev.tidegate.rollout.rolledback", "flights", 0)
    assert event.data["sentence"] == decision.sentence
    assert event == decided(state, decision)
    begun = started(cluster.begun)
    assert (begun.type, begun.data["canary"]) == ("dev.tidegate.rollout.started", CANARY)
    assert begun.attributes["id"] != event.attributes["id"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.NONE])
def test_each_kind_of_decision_has_its_event(kind: Kind) -> None:
    event = decided(FakeCluster().begun, Decision(kind=kind, sentence="because.", percent=5))

    assert event.type.startswith("dev.tidegate.rollout.")
