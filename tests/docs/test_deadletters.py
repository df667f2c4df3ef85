"""Options, exit statuses and numbers in docs/deadletters.md match the code."""

from __future__ import annotations

import re
from inspect import signature

import pytest

from tests.examples import ROOT
from tidegate.cli import run
from tidegate.commands.deadletters import app
from tidegate.deadletters import account
from tidegate.deadletters.pace import CHUNK
from tidegate.deadletters.through_model import ThroughModel
from tidegate.deadletters.to_source import ToSource

PAGE = (ROOT / "docs/deadletters.md").read_text("utf-8")
TEXT = " ".join(PAGE.split())
NAMED = set(re.findall(r"--([a-z][a-z-]+)", PAGE))
EVERYWHERE = {"bootstrap-servers", "state-dir", "json", "help"}


@pytest.mark.parametrize("command", ["list", "show", "replay", "discard"])
def test_page_has_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deadletters", command, "--help"]) == 0
    options = set(re.findall(r"^\s+(?:-\w, )?--([a-z][a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert options >= EVERYWHERE
    assert options - EVERYWHERE <= NAMED


def test_page_names_no_other_option() -> None:
    commands = [command.callback for command in app.registered_commands]
    existing = {name.strip("_").replace("_", "-") for command in commands if command for name in signature(command).parameters}
    assert {"take-over", "reason", "since"} <= NAMED <= existing | {"all", "json"}


def test_numbers_are_the_code_s() -> None:
    statuses = [int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert statuses == [account.DONE, account.FAILED, account.FAILED_AGAIN, account.NOT_KNOWN, 130]
    assert f"for {ToSource.lease_seconds:g} s (`--through`: {ThroughModel.lease_seconds:g} s)" in TEXT
    assert f"at most {CHUNK}, or those of a second" in TEXT
