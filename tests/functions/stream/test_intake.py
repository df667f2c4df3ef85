from __future__ import annotations

import asyncio

from eventing.codecs import registry
from functions.stream.checkpoint import Checkpoint
from functions.stream.intake import Intake
from functions.stream.partition import PartitionTracker
from functions.stream.schemas import RegistryUnavailable, Schemas
from tests.fixtures.deadletters import Record


def tracker_of(partition: int) -> PartitionTracker:
    return PartitionTracker(partition, 0, Checkpoint({}))


async def test_records_wait_in_order_and_those_of_a_revoked_partition_are_dropped() -> None:
    answered = asyncio.Event()

    async def fetch(_: int) -> registry.Reader:
        if not answered.is_set():
            await answered.wait()
        return registry.read_json

    intake = Intake(Schemas(fetch))
    waiting, revoked = tracker_of(0), tracker_of(1)
    framed = Record(value=registry.join(7, b"2"), offset=1)
    intake.add(waiting, [Record(value=b"1", offset=0), framed, Record(value=b"3", offset=2)])
    intake.add(revoked, [framed])
    ((found, ready),) = intake.decoded()
    assert (found, [record.offset for record, _ in ready]) == (waiting, [0])
    assert intake.unread == {0, 1}
    assert intake.holds(revoked)

    revoked.close()
    answered.set()
    found_later = []
    while intake.unread:
        found_later += list(intake.decoded())
        await asyncio.sleep(0)
    assert [(found, [record.offset for record, _ in ready]) for found, ready in found_later] == [(waiting, [1, 2])]
    assert not intake.holds(waiting)


async def test_trouble_is_reported_while_records_wait() -> None:
    asked = asyncio.Event()

    async def fetch(_: int) -> registry.Reader:
        asked.set()
        raise RegistryUnavailable("away.")

    schemas = Schemas(fetch)
    intake, tracker = Intake(schemas), tracker_of(0)
    intake.add(tracker, [Record(value=registry.join(7, b"2"))])
    assert list(intake.decoded()) == []
    await asked.wait()
    assert intake.trouble == "away."
    tracker.close()
    assert (list(intake.decoded()), intake.trouble) == ([], "")
    await schemas.close()
