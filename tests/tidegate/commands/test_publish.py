"""`tidegate publish` and `tidegate tail`, with an embedded broker."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.local.up import UpSettings, up

Tidegate = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Any]


@pytest.fixture
async def call(tidegate: Tidegate, tmp_path: Path) -> AsyncIterator[Command]:
    """Run a command beside a `tidegate up` that has a broker and no manifests."""
    state = tmp_path / "state"
    async with up(UpSettings(manifests=[], port=0, state_dir=state)):
        yield lambda *arguments: asyncio.to_thread(tidegate, *arguments, TIDEGATE_STATE_DIR=str(state))


async def published(call: Command, folder: Path, rows: list[dict[str, Any]], *options: str) -> list[dict[str, Any]]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = await call("publish", "fruit", str(folder / "rows.jsonl"), "--json", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] == len(rows)
    shown = await call("tail", "fruit", "--from-beginning", "--count", str(len(rows)), "--json")
    assert shown.returncode == 0, shown.stderr
    return sorted((json.loads(line) for line in shown.stdout.splitlines()), key=lambda event: str(event["id"]))


async def test_row_becomes_an_event_with_the_given_attributes(call: Command, tmp_path: Path) -> None:
    (event,) = await published(call, tmp_path, [{"id": 0, "shop": "00123", "kg": 2}], "--key", "shop", "--type", "weighed")
    assert event == {
        "specversion": "1.0",
        "id": "0",
        "source": "/files/rows.jsonl",
        "type": "weighed",
        "datacontenttype": "application/json",
        "partitionkey": "00123",
        "data": {"shop": "00123", "kg": 2},
    }


async def test_rows_without_ids_get_stable_ones(call: Command, tmp_path: Path) -> None:
    events = await published(call, tmp_path, [{"kg": 1}, {"kg": 2}])
    assert [event["id"] for event in events] == ["rows.jsonl:1", "rows.jsonl:2"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["publish", "bad topic!", "rows.jsonl"], "'bad topic!' is not a valid topic name"),
        (
            ["publish", "fruit", "big.jsonl"],
            r"line 2 of .*big.jsonl has 2,000,\d\d\d bytes as an event; a Kafka record may have 1,048,576",
        ),
        (["publish", "fruit", "empty.jsonl"], "line 1 of .*empty.jsonl: the column id is empty, and an event needs an id; fill it"),
        (
            ["publish", "fruit", "deep.jsonl"],
            "line 1 of .*deep.jsonl: the event cannot be written as JSON: .*; send data with at most 254 levels",
        ),
        (["publish", "fruit", "rows.jsonl", "--key", "shop"], r"line 1 of .* has no shop, which --key names; its columns are kg"),
    ],
)
async def test_unpublishable_row_is_one_sentence(arguments: list[str], sentence: str, call: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"kg": 1, "shop": null}\n')
    (tmp_path / "big.jsonl").write_text('{}\n{"note": "' + "x" * 2_000_000 + '"}\n')
    (tmp_path / "empty.jsonl").write_text('{"id": ""}\n')
    (tmp_path / "deep.jsonl").write_text('{"a": ' + "[" * 500 + "]" * 500 + "}\n")
    arguments = [str(tmp_path / item) if item.endswith(".jsonl") else item for item in arguments]
    done = await call(*arguments)
    assert done.returncode == 1
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr


STREAM = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: stream-price}
spec:
  selector: {matchLabels: {app: stream-price}}
  template:
    metadata: {labels: {app: stream-price}}
    spec:
      containers:
        - name: stream
          image: stream
          env:
            - {name: TIDEGATE_STREAM_INPUT, value: fruit}
            - {name: TIDEGATE_STREAM_OUTPUT, value: fruit.scored}
            - {name: TIDEGATE_BOOTSTRAP_SERVERS, value: kafka:9092}
            - {name: K_SINK, value: "http://router.localhost/models/price"}
"""
CARD = """
name: price
inputs:
  - {name: sku, datatype: BYTES}
  - {name: kg, datatype: FP32}
outputs: [{name: value}]
artifact: {uri: model.ubj}
"""


async def test_stream_status_names_its_model(tmp_path: Path) -> None:
    async with up(UpSettings(manifests=[yaml.safe_load(STREAM)], port=0, state_dir=tmp_path)) as here:
        topics = {"topic": "fruit", "output": "fruit.scored", "deadletter": "fruit.deadletter"}
        assert here.status()["streams"] == {"stream-price": {**topics, "group": "tidegate-fruit", "model": "price"}}


async def test_cells_are_converted_by_a_card(call: Command, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(CARD)
    (tmp_path / "rows.csv").write_text("id;sku;kg\n1.10;007;0.011811023622047244\n")
    for card in (tmp_path, tmp_path / "model.yaml"):
        done = await call("publish", "fruit", str(tmp_path / "rows.csv"), "--model", str(card), "--key", "sku")
        assert done.returncode == 0, done.stderr
    shown = await call("tail", "fruit", "--from-beginning", "--count", "2", "--json")
    for event in map(json.loads, shown.stdout.splitlines()):
        assert (event["id"], event["partitionkey"], event["data"]) == ("1.10", "007", {"sku": "007", "kg": 0.011811023622047244})
    (tmp_path / "rows.csv").write_text("id;sku;kg\n1;007;0,5\n")
    done = await call("publish", "fruit", str(tmp_path / "rows.csv"), "--model", str(tmp_path))
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "write decimals with a point" in done.stderr
