from __future__ import annotations

import pytest

from tests.differential.comparison import Object
from tests.differential.steps import SCENARIOS, steps_of

DIFFERENT = [step for scenario in SCENARIOS for step in steps_of(scenario) if "differs" in step]


@pytest.mark.parametrize("step", DIFFERENT, ids=lambda step: step["name"])
def test_difference_names_both_sides_and_the_reason(step: Object) -> None:
    assert step["differs"].keys() == {"local", "cluster", "because"}
    assert step["differs"]["local"] != step["differs"]["cluster"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_step_names_are_unique(scenario: str) -> None:
    names = [step["name"] for step in steps_of(scenario)]
    assert len(set(names)) == len(names)
