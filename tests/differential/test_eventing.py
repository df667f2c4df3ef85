"""Knative Eventing on `tidegate up` and on a cluster: every difference is written in the scenario, with the reason."""

from __future__ import annotations

import pytest

from tests.differential.comparison import Object
from tests.differential.sides import Side
from tests.differential.steps import steps_of, take

STEPS = steps_of("eventing.yaml")


@pytest.mark.parametrize("step", STEPS, ids=[step["name"] for step in STEPS])
def test_step(side: Side, step: Object) -> None:
    take(side, step)
