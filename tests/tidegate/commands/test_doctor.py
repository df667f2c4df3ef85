from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pytest

from tidegate import cli

Call = Callable[..., CompletedProcess[str]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `tidegate doctor` in this process, which has imported most of the packages that it inspects."""
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_PORT", "0")
    monkeypatch.chdir(Path(__file__).parents[3])

    def run(*arguments: str) -> CompletedProcess[str]:
        status = cli.run(["doctor", *arguments])
        return CompletedProcess(arguments, status, *capsys.readouterr())

    return run


def test_errors_make_the_exit_status_1(doctor: Call, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: price}\nspec: {template: {spec: {containers: "
        "[{image: price, env: [{name: TIDEGATE_MODEL, value: functions/price/models/v1}]}]}}}\n"
    )
    done = doctor(str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "  FAIL  model of price: functions/price/models/v1" in done.stdout
    assert "\n      Try this: train the model" in done.stdout
    as_json = orjson.loads(doctor(str(tmp_path), "--json").stdout)
    assert as_json["errors"] == 1
    assert {"group": "this machine", "subject": "model of price", "level": "error"}.items() <= as_json["findings"][3].items()


def test_this_project_has_no_errors(doctor: Call, flights_models: Path) -> None:
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("Nothing is wrong.\n")
    assert "tidegate doctor --cluster" in done.stdout


def test_missing_manifests_do_not_stop_other_checks(doctor: Call) -> None:
    done = doctor("nowhere")
    assert done.returncode == 1
    assert "  FAIL  manifests: cannot read the manifest nowhere" in done.stdout
    assert "Kafka" in done.stdout
