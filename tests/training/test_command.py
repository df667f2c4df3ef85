from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.errors import TidegateError
from training.command import progress, run_trainer


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = ["train"]
    monkeypatch.setattr(sys, "argv", found)
    return found


def test_evaluation_is_printed_apart_from_the_progress(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def train(out: Path) -> str:
        progress("training")
        return f"trained into {out}"

    assert run_trainer(train, module="functions.x.train", description="Train x.", models=tmp_path) == 0
    arguments += ["--out", "elsewhere"]
    assert run_trainer(train, module="functions.x.train", description="Train x.", models=tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.out == f"trained into {tmp_path}\ntrained into elsewhere\n"
    assert printed.err == "training\n" * 2


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TidegateError("no data", remedy="install it"), "no data; install it.\n"),
        (FileExistsError(17, "File exists", "/m"), "cannot use /m: File exists; fix that, or name another folder with --out.\n"),
    ],
)
def test_error_is_one_line(arguments: list[str], error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def train(_: Path) -> str:
        raise error

    assert run_trainer(train, module="functions.x.train", description="Train x.", models=Path("/m")) == 1
    assert capsys.readouterr().err == line
