from __future__ import annotations

import pytest

from common import logs
from common.errors import InvalidSetting


def test_log_level_is_read_from_the_environment() -> None:
    assert logs.level_of({}) == "INFO"
    assert logs.level_of({"TIDEGATE_LOG_LEVEL": "debug"}) == "DEBUG"


def test_unknown_log_level_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="TIDEGATE_LOG_LEVEL is 'loud'; set one of debug, info, warning, error"):
        logs.level_of({"TIDEGATE_LOG_LEVEL": "loud"})
