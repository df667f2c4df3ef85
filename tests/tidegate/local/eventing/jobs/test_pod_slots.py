from __future__ import annotations

import asyncio

from tidegate.local.eventing.jobs.pod_slots import PodSlots


class Waiter:
    """Takes a slot as soon as there is one."""

    def __init__(self, slots: PodSlots, order: list[str], name: str) -> None:
        self._slots, self._order, self._name = slots, order, name

    def take(self) -> None:
        if self._slots.take(self.take):
            self._order.append(self._name)


async def test_slots_are_taken_in_the_order_of_asking() -> None:
    slots, order = PodSlots(1), list[str]()
    waiters = [Waiter(slots, order, name) for name in "abc"]
    for waiter in waiters:
        waiter.take()
    waiters[1].take()
    assert order == ["a"]
    slots.give_back()
    await asyncio.sleep(0)
    assert order == ["a", "b"]
    slots.forget(waiters[2].take)
    slots.give_back()
    await asyncio.sleep(0)
    assert order == ["a", "b"]
    waiters[2].take()
    assert order == ["a", "b", "c"]
