from __future__ import annotations

from eventing.event import Event
from tests.tidegate.local.eventing.harness import event
from tidegate.local.eventing.delivery.deliveries import FILTERED, IN_DELIVERY, Deliveries, Delivery


def delivery(trigger: str = "a") -> Delivery:
    return Delivery(namespace="default", trigger=trigger, subscriber="http://fn")


def outcomes(deliveries: Deliveries, of: Event) -> list[str]:
    return [found.outcome for found in deliveries.of(of.source, of.id)]


def test_delivery_again_replaces_the_one_of_the_same_trigger() -> None:
    deliveries = Deliveries()
    for trigger in ("a", "b", "a"):
        deliveries.add(event(1), made := delivery(trigger))
    made.finish(FILTERED)
    assert outcomes(deliveries, event(1)) == [IN_DELIVERY, FILTERED]
    assert outcomes(deliveries, event(2)) == []


def test_oldest_events_are_forgotten() -> None:
    deliveries = Deliveries(max_events=2)
    for number in range(3):
        deliveries.add(event(number), delivery())
    assert [len(outcomes(deliveries, event(number))) for number in range(3)] == [0, 1, 1]


def test_events_and_replies_with_huge_attributes_are_not_kept() -> None:
    deliveries, huge = Deliveries(), event(1, id="x" * 100_000)
    deliveries.add(huge, made := delivery())
    made.replied(huge)
    assert outcomes(deliveries, huge) == []
    assert made.document()["reply"] is None


def test_cause_of_the_attempt_is_kept_before_that_of_the_end() -> None:
    made = delivery()
    made.cause = "refused"
    made.finish("lost", "the dead letter sink is gone")
    assert made.document()["cause"] == "refused"
