"""Options, exit statuses and numbers in docs/deadletters.md match the code."""

from __future__ import annotations

import re

import pytest

from tests.examples import ROOT
from tidegate.cli import run
from tidegate.deadletters import account
from tidegate.deadletters.pace import CHUNK
from tidegate.deadletters.through_model import ThroughModel
from tidegate.deadletters.to_source import ToSource

PAGE = (ROOT / "docs/deadletters.md").read_text("utf-8")
TEXT = " ".join(PAGE.split())
EVERYWHERE = {"bootstrap-servers", "state-dir", "json", "help"}


@pytest.mark.parametrize("command", ["list", "show", "replay", "discard"])
def test_page_has_every_option_and_no_other(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deadletters", command, "--help"]) == 0
    options = set(re.findall(r"^\s+(?:-\w, )?--([a-z][a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert EVERYWHERE <= options
    named = set(re.findall(r"--([a-z][a-z-]+)", PAGE))
    assert options - EVERYWHERE <= named


def test_numbers_are_the_code_s() -> None:
    statuses = [int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert statuses == [account.DONE, account.FAILED, account.FAILED_AGAIN, account.NOT_KNOWN, 130]
    assert f"for {ToSource.lease_seconds:g} s (`--through`: {ThroughModel.lease_seconds:g} s)" in TEXT
    assert f"at most {CHUNK}, or those of a second" in TEXT
