from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import target
from loadtest.gate import GateFailed, gate


def test_a_gateway_of_its_own_is_there_and_then_gone(tmp_path: Path) -> None:
    with gate(tmp_path) as url:
        target.reach(url)
    with pytest.raises(target.InvalidTarget):
        target.reach(url)


def test_a_gateway_that_does_not_start_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GateFailed, match=r"did not start: .*manifests/base"), gate(tmp_path / "gate"):
        pytest.fail("there are no manifests to run")
