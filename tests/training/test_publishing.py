from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.runtime.contract.card import load
from functions.runtime.errors import InvalidModel
from training.publishing import publish

CONTRACT = """
name: parcels
runtime: xgboost
inputs:
  - {name: kind, datatype: BYTES}
  - {name: weight, datatype: FP32}
outputs:
  - {name: hours, datatype: FP32}
"""


@pytest.fixture
def publish_parcels(tmp_path: Path) -> Callable[..., Path]:
    contract = tmp_path / "contract.yaml"
    contract.write_text(CONTRACT)

    def call(artifact: bytes = b"trees", **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "contract": contract,
            "version": "v1",
            "features": ("kind", "weight"),
            "categories": {"kind": ("letter", "parcel")},
            "evaluation": {"rows": 7},
        }
        return publish(tmp_path / "v1", artifact, **{**settings, **changes})

    return call


def test_card_describes_the_artifact_beside_it(publish_parcels: Callable[..., Path], tmp_path: Path) -> None:
    path = publish_parcels(importance={"weight": 0.75, "kind": 0.25})
    card = load(path)
    assert path == tmp_path / "v1/model.yaml"
    assert (path.parent / card.artifact.uri).read_bytes() == b"trees"
    assert card.artifact.sha256 == hashlib.sha256(b"trees").hexdigest()
    assert (card.version, tuple(card.features), card.evaluation) == ("v1", ("kind", "weight"), {"rows": 7})
    assert tuple(card.inputs[0].categories or ()) == ("letter", "parcel")
    assert card.importance == {"weight": 0.75, "kind": 0.25}


def test_publication_replaces_the_version(publish_parcels: Callable[..., Path]) -> None:
    publish_parcels()
    path = publish_parcels(b"more trees")
    assert load(path).artifact.sha256 == hashlib.sha256(b"more trees").hexdigest()
    assert sorted(item.name for item in path.parent.iterdir()) == ["model.ubj", "model.yaml"]


def test_artifact_can_have_another_name(publish_parcels: Callable[..., Path]) -> None:
    path = publish_parcels(file_name="model.txt")
    assert load(path).artifact.uri == "model.txt"
    assert (path.parent / "model.txt").exists()


def test_invalid_card_is_refused_before_anything_is_written(publish_parcels: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="features"):
        publish_parcels(features=("kind", "kind"))
    assert not (tmp_path / "v1").exists()
