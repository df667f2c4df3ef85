"""Knative's parts for Kafka on `tidegate up` and on a cluster: every difference is written in the scenario, with the reason.

On a cluster E2E_KAFKA is the Kafka of its Brokers.
"""

from __future__ import annotations

import pytest

from tests.differential.comparison import Object
from tests.differential.sides import Side
from tests.differential.steps import steps_of, take

STEPS = steps_of("kafka.yaml")


@pytest.mark.parametrize("step", STEPS, ids=[step["name"] for step in STEPS])
def test_step(side: Side, step: Object) -> None:
    if side.kafka is None:
        pytest.skip("E2E_KAFKA is not set: name the Kafka of the cluster's Brokers, as pods and this machine reach it.")
    take(side, step)
