from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.chaos.plan import Fault, Part, Setting, Step, draw

SEEDS = st.integers(0, 2**32)
SETTINGS = st.builds(
    Setting,
    workers=st.integers(1, 5),
    brokers=st.sampled_from([1, 3]),
    router=st.booleans(),
    exactly_once=st.booleans(),
    session_seconds=st.floats(3, 30),
)


def subject(step: Step) -> tuple[Part, int]:
    """What must not be disturbed twice at a time: a worker; all brokers together; the router; the function."""
    return step.part, step.target if step.part is Part.WORKER else 0


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 60), SETTINGS)
def test_a_seed_draws_one_plan_of_that_many_faults_in_order(seed: int, count: int, setting: Setting) -> None:
    plan = draw(seed, count, setting)
    assert plan == draw(seed, count, setting)
    assert len(plan) == count
    assert all(before.at <= after.at for before, after in pairwise(plan))


@settings(max_examples=50)
@given(SEEDS, SETTINGS)
def test_faults_of_one_thing_do_not_overlap_and_one_worker_stays(seed: int, setting: Setting) -> None:
    plan = draw(seed, 40, setting)
    for number, one in enumerate(plan):
        meanwhile = [other for other in plan[:number] if one.at < other.until]
        assert subject(one) not in map(subject, meanwhile)
        workers = {step.target for step in [one, *meanwhile] if step.part is Part.WORKER}
        assert len(workers) < setting.workers or setting.workers == 1


@settings(max_examples=50)
@given(SEEDS, SETTINGS)
def test_each_kind_comes_before_the_plan_repeats_itself(seed: int, setting: Setting) -> None:
    possible = setting.kinds()
    assert (Fault.ROUTER_KILLED in possible) == setting.router
    assert (Fault.END_OF_TRANSACTION_HELD in possible) == setting.exactly_once
    # Some kinds are in it twice.
    assert {step.fault for step in draw(seed, 2 * len(possible), setting)} == set(possible)


@settings(max_examples=50)
@given(SEEDS, SETTINGS)
def test_only_zombies_are_silent_for_longer_than_their_session(seed: int, setting: Setting) -> None:
    for step in draw(seed, 40, setting):
        assert step.target in range({Part.WORKER: setting.workers, Part.BROKER: setting.brokers}.get(step.part, 1))
        zombie = step.fault in {Fault.WORKER_STOPPED, Fault.WORKER_ISOLATED}
        assert (step.seconds > setting.session_seconds) == zombie


@settings(max_examples=50)
@given(SEEDS, SETTINGS)
def test_after_faults_that_overlap_there_is_a_calm(seed: int, setting: Setting) -> None:
    plan = draw(seed, 40, setting)
    for number, step in enumerate(plan[1:], 1):
        healed = max(other.until for other in plan[:number])
        assert step.at <= healed or step.at >= healed + setting.calm_seconds[0]
        assert step.at - plan[number - 1].at < 60


def test_only_the_named_kinds_are_drawn() -> None:
    setting = Setting(faults=(Fault.WORKER_KILLED, Fault.ANSWERS_503))
    assert {step.fault for step in draw(3, 10, setting)} == {Fault.WORKER_KILLED, Fault.ANSWERS_503}


@pytest.mark.parametrize("fault", Fault)
def test_a_step_says_what_is_disturbed_and_for_how_long(fault: Fault) -> None:
    said = str(Step(0.0, fault, 2, 1.25))
    assert said.startswith(fault.value)
    assert said.endswith(", 1.2 s")
