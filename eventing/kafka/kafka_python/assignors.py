"""The strategies by which kafka-python's consumers share the partitions of a topic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


class CooperativeAssignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """The cooperative strategy of a member that can forget what it owned.

    The client goes on claiming the partitions of a group that has expelled it, so that they could be assigned to it while
    their new owner has them.
    """

    def forget(self) -> None:
        self.member_assignment = None


class MigratingAssignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """The cooperative strategy as an eager member offers it, so that its group can be changed over member by member.

    The client refuses to offer it beside an eager one, as Kafka's own clients may (KIP-429): it would have to give up all
    partitions before it joins, and then must not claim any. This one does and does not.
    """

    def supported_protocols(self) -> list[RebalanceProtocol]:
        return [RebalanceProtocol.COOPERATIVE, RebalanceProtocol.EAGER]

    def metadata(self, topics: Iterable[str]) -> Any:
        self.member_assignment = None
        return super().metadata(topics)


def assignors(cooperative: bool) -> list[Any]:
    """Return the strategies of a member, in its order of preference. The group takes one that all members offer."""
    if cooperative:
        return [CooperativeAssignor()]
    return [RangePartitionAssignor(), RoundRobinPartitionAssignor(), MigratingAssignor()]
