from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eventing.event import Event
from eventing.reply import COMPLETED, FAILED
from functions.runtime.artifact import Loaded
from functions.runtime.card import Artifact, Card, Input, Output
from functions.runtime.dataplane import DataPlane
from functions.runtime.encoding import Encoder
from functions.runtime.models import Signature
from functions.runtime.protocols import events

CARD = Card(
    name="sum",
    inputs=(Input("a", "FP32", optional=True), Input("b", "FP32")),
    outputs=(Output("sum"),),
    artifact=Artifact("none"),
    features=("x", "y"),
)


class Sum:
    """A model whose score is the sum of a row's two features."""

    signature = Signature(2)

    def predict(self, values: array[float], rows: int) -> array[float]:
        return array("f", [values[2 * row] + values[2 * row + 1] for row in range(rows)])

    def load(self, path: Path, *, threads: int) -> Sum:
        return self


def transform(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """As a user might write it: without a thought of what is optional."""
    return {"x": record["a"], "y": None if record["b"] < 0 else record["b"]}


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    model = Sum()
    opened = DataPlane(Loaded(CARD, Encoder(CARD, CARD.features, transform), model, model, Path("none")))
    yield opened
    opened.close()


@pytest.mark.parametrize("bad", [{"b": 1.0}, {"a": 1.0, "b": -1.0}])
@pytest.mark.parametrize("count", [8, 256])
async def test_a_transform_that_fails_at_one_event_fails_it_alone(
    bad: dict[str, float], count: int, plane: DataPlane, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [bad if index == 5 else {"a": 1.0, "b": float(index)} for index in range(count)]
    sent = [Event({"specversion": "1.0", "id": str(index), "source": "/s", "type": "t"}, row) for index, row in enumerate(rows)]
    replies = await events.infer_batch(plane, sent)
    failed = replies.pop(5)
    assert [reply.value() for reply in replies] == [{"sum": 1.0 + index} for index in range(count) if index != 5]
    assert {reply.type for reply in replies} == {COMPLETED}
    assert (failed.type, failed.get("causationid"), failed.value()["status"]) == (FAILED, "5", 500)
    (record,) = caplog.records
    assert record.exc_info
    reference = failed.value()["detail"].split()[-1].rstrip(".")
    assert record.getMessage() == f"bug {reference} at the event 5 of /s"
