from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.doctor.finding import Finding, Level
from tidegate.doctor.machine import models
from tidegate.documents import Document

Service = Callable[..., Document]
CARD = """
name: price
version: v1
inputs: [{name: size, datatype: FP32}]
outputs: [{name: predict}]
artifact: {uri: model.ubj, sha256: %s}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A card with its artifact, in `price/v1`."""
    found = tmp_path / "price" / "v1"
    found.mkdir(parents=True)
    (found / "model.ubj").write_bytes(b"trees")
    (found / "model.yaml").write_text(CARD % hashlib.sha256(b"trees").hexdigest())
    return found


def _check(service: Service, root: Path, named: str, **container: Any) -> list[Finding]:
    return list(models.check([service(env=[{"name": "TIDEGATE_MODEL", "value": named}], **container)], root))


@pytest.mark.parametrize("named", ["price/v1", "price", "price/v1/model.yaml"])
def test_model_with_the_cards_digest_is_ok(service: Service, folder: Path, tmp_path: Path, named: str) -> None:
    (found,) = _check(service, tmp_path, named)
    assert found.level is Level.OK
    assert found.message.startswith("price v1, ")


def test_untrained_model_names_manifest_and_command(service: Service, tmp_path: Path) -> None:
    (found,) = _check(service, tmp_path, "functions/flights/models/v1")
    assert found == Finding(
        Level.ERROR,
        "model of flights",
        "functions/flights/models/v1, which TIDEGATE_MODEL names in flights.yaml, does not exist.",
        "make train",
    )


def test_model_missing_from_an_image_is_an_error_for_a_cluster(service: Service, tmp_path: Path) -> None:
    """An image is built from the project's folder; one that is built elsewhere cannot be inspected."""
    item = service(env=[{"name": "TIDEGATE_MODEL", "value": "functions/flights/models/v1"}])
    (elsewhere,) = models.check([item], tmp_path, needed=False)
    (tmp_path / "functions/flights").mkdir(parents=True)
    (ours,) = models.check([item], tmp_path, needed=False)
    assert (elsewhere.level, ours.level, ours.remedy) == (Level.NOTE, Level.ERROR, "make train")


def test_artifact_with_another_digest_is_an_error(service: Service, folder: Path, tmp_path: Path) -> None:
    (folder / "model.ubj").write_bytes(b"other trees")
    (found,) = _check(service, tmp_path, "price/v1")
    assert found.level is Level.ERROR
    assert "but its card has" in found.message
    assert "train again" in found.remedy


def test_invalid_card_names_its_field(service: Service, folder: Path, tmp_path: Path) -> None:
    (folder / "model.yaml").write_text("name: price\n")
    (found,) = _check(service, tmp_path, "price/v1")
    assert found.level is Level.ERROR
    assert "inputs" in found.message


def test_empty_folder_has_no_model(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (found,) = _check(service, tmp_path, "empty")
    assert found.level is Level.ERROR
    assert "no model.yaml" in found.message


def test_mounted_or_remote_model_is_a_note(service: Service, folder: Path, tmp_path: Path) -> None:
    (mounted,) = _check(service, tmp_path, "/mnt/models/price", volumeMounts=[{"name": "models", "mountPath": "/mnt/models"}])
    (folder / "model.yaml").write_text(CARD.replace("model.ubj", "s3://models/price.ubj") % ("ab" * 32))
    (fetched,) = _check(service, tmp_path, "price/v1")
    assert {mounted.level, fetched.level} == {Level.NOTE}


def test_card_without_a_digest_is_a_warning(service: Service, folder: Path, tmp_path: Path) -> None:
    (folder / "model.yaml").write_text(CARD.replace(", sha256: %s", ""))
    (found,) = _check(service, tmp_path, "price/v1")
    assert found.level is Level.WARNING
