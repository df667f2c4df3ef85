from __future__ import annotations

import logging
import threading
import time

import pytest

from functions.runtime.observability.background import Background


class Work:
    """Records its items and waits at the gate."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, items: list[int]) -> int:
        self.entered.set()
        self.gate.wait(20)
        self.items += items
        return 0


def test_queued_items_are_processed_in_order_before_the_end() -> None:
    work = Work()
    work.gate.set()
    background = Background("test", work, limit=10_000)
    background.start()

    for item in range(3_000):
        background.put(item)
    background.close()
    background.join(20)

    assert work.items == list(range(3_000))
    assert background.dropped == 0


def test_batches_have_at_most_the_allowed_number_of_items() -> None:
    sizes: list[int] = []

    def work(items: list[int]) -> int:
        sizes.append(len(items))
        return 0

    background = Background("test", work, limit=100, together=8)
    for item in range(20):
        background.put(item)
    background.start()
    background.close()
    background.join(20)

    assert sizes == [8, 8, 4]


def test_items_that_do_not_fit_are_dropped_and_counted() -> None:
    work = Work()
    background = Background("test", work, limit=100, linger_seconds=0)
    background.start()

    background.put(1, 60)
    assert work.entered.wait(20)
    # Items in work still take their space.
    background.put(2, 60)
    background.put(3, 40)
    work.gate.set()
    background.close()
    background.join(20)

    assert work.items == [1, 3]
    assert background.dropped == 1


def test_processed_items_free_their_space() -> None:
    work = Work()
    work.gate.set()
    background = Background("test", work, limit=1, linger_seconds=0)
    background.start()

    # Without free space this loop would not end.
    while len(work.items) < 3:
        background.put(1)
    background.close()
    background.join(20)

    assert background.dropped > 0


class Recorder(threading.Event):
    """Records the seconds of each wait instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return True


def test_thread_rests_three_times_as_long_as_it_computes() -> None:
    def work(_: list[int]) -> int:
        began = time.thread_time()
        while time.thread_time() < began + 0.01:
            pass
        return 0

    background = Background("test", work, limit=10, linger_seconds=0)
    background.stopping = recorder = Recorder()
    background.start()
    background.put(1)
    background.close()
    background.join(20)

    assert max(recorder.waits) >= 0.03


def test_failed_work_loses_its_items_only(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    failed = threading.Semaphore(0)

    def fail_at_first(items: list[int]) -> int:
        if items == [1] or items == [2]:
            failed.release()
            raise RuntimeError("no")
        done.extend(items)
        return 0

    background = Background("test", fail_at_first, limit=10, linger_seconds=0)
    background.start()
    for item in (1, 2):
        background.put(item)
        assert failed.acquire(timeout=20)
    background.put(3)
    background.close()
    background.join(20)

    assert done == [3]
    assert background.dropped == 2
    assert [record.getMessage() for record in caplog.records] == [
        "test: failing with RuntimeError('no'); items are dropped and counted until it works again."
    ]


def test_join_waits_no_longer_than_allowed(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    background = Background("test", work, limit=10)
    background.start()
    background.put(1)
    background.close()

    with caplog.at_level(logging.WARNING, "tidegate.observing"):
        background.join(0.01)
    work.gate.set()
    background.join(20)

    assert len(caplog.records) == 1
    assert work.items == [1]
