from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import target
from loadtest.local_gateway import GatewayFailed, local_gateway


def test_gateway_runs_inside_the_block_only(tmp_path: Path) -> None:
    with local_gateway(tmp_path) as url:
        target.reach(url)
    with pytest.raises(target.InvalidTarget):
        target.reach(url)


def test_gateway_that_does_not_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GatewayFailed, match=r"did not start: .*manifests/base"), local_gateway(tmp_path / "gateway"):
        pytest.fail("there are no manifests to run")
