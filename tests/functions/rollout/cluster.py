"""A cluster with one Knative Service in a rollout, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from functions.rollout.service import begin, move, rollout_of
from functions.rollout.state import Decision, State
from functions.rollout.update import Conflict
from tests.functions.rollout.examples import CANARY, STABLE, STARTED, a_policy, an_outcome


class FakeCluster:
    """One Knative Service, with a user who changes it `rivals` times just before it is written."""

    def __init__(self, rivals: int = 0) -> None:
        split = [{"revisionName": STABLE, "percent": 100, "tag": "stable"}]
        status = {"latestCreatedRevisionName": CANARY, "latestReadyRevisionName": CANARY, "traffic": split}
        self.service: dict[str, Any] = {
            "metadata": {"name": "flights", "resourceVersion": "1", "annotations": {}},
            "spec": {"traffic": split},
            "status": status,
        }
        self.patches: list[Mapping[str, Any]] = []
        self.recorded: list[Decision] = []
        self._rivals = 0
        self.begun = begin(self.service, a_policy(), STARTED)
        self.patch("flights", move(self.service, self.begun))
        self._rivals = rivals

    def get(self, name: str) -> Mapping[str, Any] | None:
        return self.service if name == "flights" else None

    def patch(self, name: str, body: Mapping[str, Any]) -> None:
        if self._rivals:
            self._rivals -= 1
            self.service = self.service | {"metadata": self.service["metadata"] | {"resourceVersion": f"rival-{self._rivals}"}}
        metadata = self.service["metadata"]
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise Conflict
        self.patches.append(body)
        metadata = metadata | {
            "resourceVersion": f"{len(self.patches)}",
            "annotations": metadata["annotations"] | body["metadata"]["annotations"],
        }
        self.service = self.service | {"metadata": metadata, "spec": self.service["spec"] | body.get("spec", {})}

    def names(self) -> Sequence[str]:
        return ["flights"]

    def record(self, state: State, decision: Decision) -> None:
        self.recorded.append(decision)

    @property
    def state(self) -> State:
        state = rollout_of(self.service)
        assert state is not None
        return state

    @property
    def split(self) -> dict[str, int]:
        return {entry["revisionName"]: entry["percent"] for entry in self.service["spec"]["traffic"]}

    def outcome(self, sequence: int = 1, **fields: Any) -> Any:
        return an_outcome(sequence, percent=5, rollout=self.begun.rollout, **fields)
