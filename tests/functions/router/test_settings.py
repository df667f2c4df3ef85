from __future__ import annotations

import pytest

from common.errors import InvalidSetting
from functions.router.settings import Settings


def test_the_environment_comes_over_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()
    found = Settings.from_env({"PORT": "9", "TIDEGATE_REQUEST_SECONDS": "0.5", "HOME": "/", "K_SINK": "http://broker/x"})
    assert found == Settings(port=9, request_seconds=0.5, sink="http://broker/x")


@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("PORT", "70000"), ("TIDEGATE_DRAIN_SECONDS", "-1"), ("K_SINK", "broker/x")])
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is '{value}'"):
        Settings.from_env({name: value})
