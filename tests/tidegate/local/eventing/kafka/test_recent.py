from __future__ import annotations

from tests.tidegate.local.eventing.harness import event
from tidegate.local.eventing.kafka.recent import Recent


def test_oldest_records_are_dropped_beyond_the_number_of_records() -> None:
    recent = Recent(max_records=2)
    for offset in range(3):
        recent.add(0, offset, event(offset), 1)

    assert [recent.get(0, offset) for offset in range(3)] == [None, event(1), event(2)]
    assert recent.end(0) == 3
    assert recent.end(1) == 0


def test_oldest_records_are_dropped_beyond_the_number_of_bytes() -> None:
    recent = Recent(max_bytes=100)
    recent.add(0, 7, event(0), 60)
    recent.add(1, 7, event(1), 60)

    assert recent.get(0, 7) is None
    assert recent.get(1, 7) == event(1)
