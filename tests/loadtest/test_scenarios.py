from __future__ import annotations

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_request_is_the_example_of_the_model_card() -> None:
    request = json.loads((ROOT / "loadtest" / "scenarios" / "flights.json").read_text())
    card = yaml.safe_load((ROOT / "functions" / "flights" / "model.yaml").read_text())
    assert {tensor["name"]: tensor["data"][0] for tensor in request["inputs"]} == card["example"]
    datatypes = {item["name"]: item["datatype"] for item in card["inputs"]}
    assert all(tensor["datatype"] == datatypes[tensor["name"]] and tensor["shape"] == [1] for tensor in request["inputs"])
