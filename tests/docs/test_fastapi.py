"""The examples of docs/fastapi.md, run unchanged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from fastapi.testclient import TestClient

from functions.runtime.contract.card import Artifact, Card, Input, Output, dump

PAGE = (Path(__file__).parents[2] / "docs/fastapi.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROW = {"weight": 0.5, "distance": 0.25}


@pytest.fixture
def _parcels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card("parcels", (Input("weight", "FP32"), Input("distance", "FP32")), (Output("hours"),), Artifact("model.ubj"))
    rows = np.random.default_rng(1).random((100, 2), dtype=np.float32)
    data = xgb.DMatrix(rows, rows.sum(1), feature_names=list(ROW))
    xgb.train({"max_depth": 3}, data, 5).save_model(tmp_path / "model.ubj")
    (tmp_path / "model.yaml").write_text(dump(card), "utf-8")
    monkeypatch.setenv("TIDEGATE_MODEL", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_API_KEYS", f"shop:{'k' * 32}")


def run(block: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(compile(block, "docs/fastapi.md", "exec", dont_inherit=True), namespace)  # noqa: S102 our own page
    return namespace["app"]


@pytest.mark.usefixtures("_parcels")
def test_minimal_application_serves_the_model() -> None:
    with TestClient(run(BLOCKS[0])) as client:
        assert client.post("/v1/models/parcels:predict", json={"instances": [ROW]}).status_code == 200


@pytest.mark.usefixtures("_parcels")
def test_route_predicts_and_runs_its_background_task(capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(run(BLOCKS[1])) as client:
        (hours,) = client.post("/v1/models/parcels:predict", json={"instances": [ROW]}).json()["predictions"]
        assert client.post("/parcels/days", json=ROW).json() == {"days": hours / 24}
    assert capsys.readouterr().out == f"promised {hours}\n"


@pytest.mark.usefixtures("_parcels")
def test_guarded_application_requires_a_key() -> None:
    with TestClient(run(BLOCKS[2])) as client:
        assert client.get("/v2/models/parcels").status_code == 401
        assert client.get("/v2/models/parcels", headers={"x-api-key": "k" * 32}).status_code == 200
