from __future__ import annotations

import os
from pathlib import Path

import pytest

from functions.runtime.inference.cores import cores


@pytest.fixture
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.usefixtures("_four_cores")
@pytest.mark.parametrize(
    ("granted", "count"),
    [
        ("max 100000\n", 4),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("100001 100000\n", 2),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("1000 1000000\n", 1),
        ("900000 100000\n", 4),
        ("", 4),
        ("garbage", 4),
        ("200000", 4),
        ("200000 100000 1\n", 4),
        ("\u00e9 100000", 4),
        ("2e5 1e5", 4),
    ],
)
def test_control_group_limits_cores_rounded_up(granted: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(granted, "utf-8")
    assert cores(tmp_path / "cpu.max") == count


@pytest.mark.usefixtures("_four_cores")
def test_without_a_control_group_all_cores_are_usable(tmp_path: Path) -> None:
    assert cores(tmp_path / "missing") == 4
    assert cores(tmp_path) == 4


def test_without_affinity_the_cores_of_the_machine_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for known, count in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda known=known: known)
        assert cores(tmp_path / "missing") == count


def test_this_process_has_at_least_one_core() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
