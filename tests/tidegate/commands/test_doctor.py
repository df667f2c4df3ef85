from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import orjson

Tidegate = Callable[..., CompletedProcess[str]]


def test_errors_make_the_exit_status_1(tidegate: Tidegate, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: price}\nspec: {template: {spec: {containers: "
        "[{image: price, env: [{name: TIDEGATE_MODEL, value: functions/price/models/v1}]}]}}}\n"
    )
    environ = {"TIDEGATE_STATE_DIR": str(tmp_path / "state"), "TIDEGATE_PORT": "0"}
    done = tidegate("doctor", str(tmp_path), **environ)
    assert done.returncode == 1, done.stderr
    assert "  FAIL  model of price: functions/price/models/v1" in done.stdout
    assert "\n      Try this: train the model" in done.stdout
    as_json = orjson.loads(tidegate("doctor", str(tmp_path), "--json", **environ).stdout)
    assert as_json["errors"] == 1
    assert {"group": "this machine", "subject": "model of price", "level": "error"}.items() <= as_json["findings"][3].items()


def test_this_project_has_no_errors(tidegate: Tidegate, flights_models: Path, tmp_path: Path) -> None:
    done = tidegate("doctor", TIDEGATE_STATE_DIR=str(tmp_path), TIDEGATE_PORT="0")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("Nothing is wrong.\n")
    assert "tidegate doctor --cluster" in done.stdout


def test_missing_manifests_do_not_stop_other_checks(tidegate: Tidegate, tmp_path: Path) -> None:
    done = tidegate("doctor", "nowhere", TIDEGATE_STATE_DIR=str(tmp_path), TIDEGATE_PORT="0")
    assert done.returncode == 1
    assert "  FAIL  manifests: cannot read the manifest nowhere" in done.stdout
    assert "Kafka" in done.stdout
