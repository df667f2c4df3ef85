from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Signature
from functions.runtime.documentation.model_spec import ModelSpec
from tests.functions.runtime.cards import LOANS, write_model


@pytest.fixture(scope="session")
def describe() -> Callable[..., ModelSpec]:
    """Make the specification of a model, with fields of its card."""

    def make(*, nulls: bool = False, **fields: Any) -> ModelSpec:
        card = replace(LOANS, **fields)
        width = len(card.inputs)
        kinds: dict[Any, tuple[int, ...]] = {"value": (), "margin": (), "contributions": (width + 1,)}
        return ModelSpec(card, resolve(card, Signature(width, meaning="probability", classes=1, kinds=kinds)), nulls)

    return make


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card and a model trained for it."""
    folder = tmp_path_factory.mktemp("loans")
    write_model(LOANS, folder)
    return folder
