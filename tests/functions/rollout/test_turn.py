from __future__ import annotations

from dataclasses import replace

import pytest

from functions.rollout import announcements
from functions.rollout.codec import STATE
from functions.rollout.policy import POLICY
from functions.rollout.service import rollout_of
from functions.rollout.state import Phase
from functions.rollout.turn import needs_turn, turn
from tests.functions.rollout.services import CANARY, STABLE, STARTED, Object, outcome, service, with_rollout
from tidegate.local.apiserver.patch import merge


def after(item: Object, patch: object) -> Object:
    changed: Object = merge(item, patch)
    return changed


def test_service_without_a_rollout_is_not_written() -> None:
    found = turn(service(), [], STARTED)
    assert (found.patch, found.problem) == (None, "")
    assert not needs_turn(service())


def test_failing_canary_loses_its_traffic_in_the_write_that_counts_its_errors() -> None:
    item = with_rollout()
    found = turn(item, [outcome(item, 1, keys=range(40), failed=range(40))], STARTED + 2)
    assert found.patch is not None
    changed = after(item, found.patch)
    assert changed["spec"]["traffic"] == [{"revisionName": STABLE, "latestRevision": False, "percent": 100, "tag": "stable"}]
    state = rollout_of(changed)
    assert state is not None
    assert state.phase is Phase.ROLLED_BACK
    (announced,) = announcements.waiting(changed)
    assert announced.type == "dev.tidegate.rollout.rolledback"
    assert announced.data["eValue"] >= announced.data["threshold"] > 1
    assert announced.data["counts"] == {"canary": 40, "others": 0}
    assert turn(changed, [outcome(item, 2, keys=[1])], STARTED + 3).patch is None
    assert needs_turn(changed), "there is something to report"


def test_good_canary_is_promoted() -> None:
    item = with_rollout()
    found = turn(item, [outcome(item, 1, keys=range(100))], STARTED + 2)
    assert found.patch is not None
    changed = after(item, found.patch)
    assert changed["spec"]["traffic"] == [{"revisionName": CANARY, "latestRevision": False, "percent": 100, "tag": "stable"}]
    assert [one.type for one in announcements.waiting(changed)] == ["dev.tidegate.rollout.promoted"]


def test_write_is_of_the_version_that_was_read() -> None:
    item = with_rollout()
    found = turn(item, [outcome(item, 1, keys=[1])], STARTED + 2)
    assert found.patch is not None
    assert found.patch["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
    assert "spec" not in found.patch, "traffic that stays is not written"


def test_traffic_that_a_user_sets_ends_the_rollout_and_stays() -> None:
    item = with_rollout()
    item["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    found = turn(item, [], STARTED + 2)
    assert found.patch is not None
    assert "spec" not in found.patch
    (announced,) = announcements.waiting(after(item, found.patch))
    assert (announced.type, announced.data["metric"]) == ("dev.tidegate.rollout.promoted", "manual")


def test_percentage_that_a_user_sets_and_the_next_one_are_two_announcements() -> None:
    item = with_rollout(service(annotations={POLICY: "{steps: [10, 50, 90], minimumDuration: 0, minimumKeys: 5}"}))
    split = {STABLE: 80, CANARY: 20}
    item["spec"]["traffic"] = [{"revisionName": name, "percent": percent, "tag": name} for name, percent in split.items()]
    seen = outcome(item, 1, keys=range(40))
    arms = [replace(arm, percent=split[arm.revision]) for arm in seen.arms]
    found = turn(item, [replace(seen, arms=arms)], STARTED + 2)
    assert found.patch is not None
    first, second = announcements.waiting(after(item, found.patch))
    assert (first.data["percent"], second.data["percent"]) == (20, 50)
    assert first.id != second.id
    names = {announcements.to_kubernetes(one, item)["metadata"]["name"] for one in (first, second)}
    assert len(names) == 2


@pytest.mark.parametrize("text", ["steps: [a]", "# steps" * 40_000])
def test_unreadable_policy_pauses_and_still_protects(text: str) -> None:
    item = with_rollout()
    item["metadata"]["annotations"][POLICY] = text
    good = turn(item, [outcome(item, 1, keys=range(1000))], STARTED + 10_000)
    assert good.problem.startswith(f"The rollout is paused: {POLICY}: ")
    assert good.patch is not None
    assert "spec" not in good.patch
    bad = turn(item, [outcome(item, 1, keys=range(100), failed=range(100))], STARTED + 2)
    assert bad.state is not None
    assert bad.state.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("text", ["{}", "{", "x" * 256 * 1024, "[" * 256 * 1024])
def test_state_of_another_program_is_a_problem_and_stays(text: str) -> None:
    item = with_rollout()
    item["metadata"]["annotations"][STATE] = text
    found = turn(item, [], STARTED)
    assert found.patch is None
    assert STATE in found.problem
    assert needs_turn(item)
