"""Every example in the README is run, in its order, by the shell and the Python that a reader would use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples import ROOT, clone, run, script
from tidegate.cli import app

README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_serving_a_model_works(tmp_path: Path) -> None:
    printed = run(script(section("Serve a model of your own"), tmp_path), tmp_path, tmp_path)
    assert '"name":"size"' in printed
    assert '"model_name":"price"' in printed
    assert '{"predictions":[' in printed
    assert '"error"' not in printed


def test_new_model_function_works(tmp_path: Path, flights_models: Path) -> None:
    folder = clone(tmp_path / "clone")
    printed = run(script(section("A model function of your own"), tmp_path), folder, tmp_path)
    assert "wrote functions/parcels/train.py" in printed
    assert "mean absolute error" in printed
    assert '{"predictions":[' in printed
    for file in re.findall(r"^\| `([^`]+)` \|", section("A model function of your own"), re.MULTILINE):
        assert (folder / file).exists(), file


def test_local_run_works(tmp_path: Path, flights_models: Path) -> None:
    printed = run(script(section("Everything on one machine"), tmp_path), ROOT, tmp_path)
    assert '"flights"' in printed
    assert '{"predictions":[' in printed
    assert "ce-causationid: 1" in printed.lower()
    assert "2 events published to flights.departed" in printed
    assert "dev.tidegate.inference.completed" in printed
    assert "carrier is 'ZZ'" in printed
    assert "1 rows scored" in printed
    assert (tmp_path / "scored.parquet").exists()
    assert "Traceback" not in printed


def test_events_start_work(tmp_path: Path, flights_models: Path) -> None:
    printed = run(script(section("Triggers: events that start work"), tmp_path), ROOT, tmp_path)
    assert "accepted by the Broker events: 202" in printed
    assert "Trigger departed: delivered to http://router." in printed
    assert "replied dev.tidegate.inference.completed" in printed
    assert "Trigger scored: delivered to http://job-sink." in printed
    assert "started the Job archive-" in printed
    assert "accepted by the JobSink archive: 202" in printed
    assert '"late":0.08' in printed.replace(" ", "")
    assert "1 delivered, 1 filtered" in printed
    assert "Traceback" not in printed


def test_table_lists_every_command() -> None:
    listed = re.findall(r"^\| `tidegate (\w+)", section("Commands"), re.MULTILINE)
    assert listed == [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_relative_links_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_architecture_lists_every_function_and_package() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    functions = [f"functions/{folder.name}/" for folder in (ROOT / "functions").iterdir() if (folder / "__init__.py").exists()]
    for folder in [*functions, "eventing/", "tidegate/", "manifests/", "loadtest/"]:
        assert f"`{folder}`" in page
