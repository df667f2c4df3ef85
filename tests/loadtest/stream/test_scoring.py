from __future__ import annotations

import sys
from pathlib import Path

import orjson
import pytest

from loadtest.compare.processes import exchange, free_port, running
from loadtest.compare.wire import request
from loadtest.stream.records import Records, data_of, departure
from loadtest.stream.scoring import Model


def test_model_in_the_process_is_that_of_the_function(flights_models: Path, tmp_path: Path) -> None:
    """Otherwise the ways would not do the same work."""
    records = [data_of(Records().value(1)), {**departure(), "carrier": "AA", "dest": "LAX", "distance": 2475.0}]
    scores = Model(flights_models / "v1").predict(records)
    assert scores[0] != scores[1]
    port = free_port()
    environ = {"TIDEGATE_MODEL": str(flights_models / "v1"), "TIDEGATE_HOST": "127.0.0.1", "PORT": str(port)}
    attributes = {"specversion": "1.0", "source": "/airlines/UA", "type": "departed"}
    events = [{**attributes, "id": str(number), "data": record} for number, record in enumerate(records)]
    batch = request("/models/flights", orjson.dumps(events), "Content-Type: application/cloudevents-batch+json")
    with running([sys.executable, "-m", "functions.flights"], environ, port, batch, tmp_path / "log"):
        replies = orjson.loads(exchange(port, batch).partition(b"\r\n\r\n")[2])
    assert [reply["data"]["late"] for reply in replies] == pytest.approx(scores, abs=1e-6)
