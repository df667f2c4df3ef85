from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InvalidSetting
from functions.runtime.settings import Settings

MODEL = {"TIDEGATE_MODEL": "models/v1"}


def test_the_environment_comes_over_the_defaults() -> None:
    assert Settings.from_env(MODEL) == Settings(model=Path("models/v1"))
    found = Settings.from_env(
        MODEL | {"PORT": "9", "TIDEGATE_MAX_ROWS": "5", "TIDEGATE_MODEL_CONTROL": "true", "TIDEGATE_TIMEOUT_SECONDS": "0.5"}
    )
    assert found == Settings(model=Path("models/v1"), port=9, max_rows=5, model_control=True, timeout_seconds=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("TIDEGATE_MAX_JSON_BYTES", "0"), ("TIDEGATE_MODEL_CONTROL", "yes")],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is '{value}'"):
        Settings.from_env(MODEL | {name: value})


def test_a_model_must_be_named() -> None:
    with pytest.raises(InvalidSetting, match="TIDEGATE_MODEL is not set"):
        Settings.from_env({})
