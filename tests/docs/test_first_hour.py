"""The commands of docs/first-hour.md, run unchanged: a new model, its canary, its promotion."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples import clone, run, script

PAGE = (Path(__file__).parents[2] / "docs/first-hour.md").read_text("utf-8")
# Not run here: tests/tidegate/demo runs it, and the shell of the test has the virtual environment.
ELSEWHERE = "make demo\n. .venv/bin/activate\n"


def test_commands_print_the_documented_output(tmp_path: Path, flights_models: Path) -> None:
    printed = run(script(PAGE, tmp_path), clone(tmp_path / "clone"), tmp_path)
    for shown in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL):
        # uniq's own indentation differs between systems.
        assert all(line.strip() in printed for line in shown.splitlines()), printed
    (answer,) = re.findall(r'`(\{"predictions":\[.*?\]\})`', PAGE)
    assert answer in printed
    assert '"error"' in printed  # of the request that the page sends to be refused
    assert "Traceback" not in printed
    promoted = printed[printed.rindex("HTTP/1.1 200") :]
    assert "tidegate-revision: parcels-00002" in promoted.lower()


def test_every_command_is_run() -> None:
    assert re.findall(r"```\n(?!\n)(.*?)```", re.sub(r"```\w+\n.*?```\n", "", PAGE, flags=re.DOTALL), re.DOTALL) == [ELSEWHERE]
