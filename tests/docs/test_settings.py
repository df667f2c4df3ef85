"""Every setting is one row of one table, with the default that it has in the code."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from common import logs
from eventing.kafka.security import Security
from functions.batch import settings as batch
from functions.batch.client import RetryPolicy
from functions.batch.storage import policy as paths
from functions.rollout.settings import Settings as RolloutSettings
from functions.router.settings import Settings as RouterSettings
from functions.runtime.observability.settings import ObservabilitySettings
from functions.runtime.settings import Settings
from functions.stream.settings import StreamSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/settings.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
TABLE = {row[0].strip("`"): row[1:] for row in ROWS}
VARIABLES = {
    name
    for folder in ("common", "eventing", "functions")
    for path in (ROOT / folder).rglob("*.py")
    for name in re.findall(r'"((?:TIDEGATE|OTEL|K)_[A-Z_]+|PORT)"', path.read_text("utf-8"))
}
# Settings whose variables have another name than their fields.
PREFIXES = {Settings: "TIDEGATE_", RouterSettings: "TIDEGATE_", ObservabilitySettings: "TIDEGATE_", StreamSettings: "TIDEGATE_STREAM_"}
PREFIXES |= {batch.BatchLimits: "TIDEGATE_BATCH_", batch.BatchSettings: "TIDEGATE_"}
PREFIXES |= {RolloutSettings: "TIDEGATE_"}
PREFIXES |= {Security: "TIDEGATE_KAFKA_"}
OTHERS = {"PORT": "TIDEGATE_PORT"}
# Variables whose default is described in words on the page.
IN_WORDS = {"TIDEGATE_NAMESPACE", "TIDEGATE_KAFKA_CA_FILE", "TIDEGATE_KAFKA_KEY_FILE"}


def shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def defaults() -> list[tuple[str, str]]:
    """Variables whose name is that of a field, and the field's default as the table has it."""
    found = []
    for settings, prefix in PREFIXES.items():
        for field in dataclasses.fields(settings):
            name = f"{prefix}{field.name.upper()}"
            variable = next((known for known, other in OTHERS.items() if other == name), name)
            if variable in TABLE and variable not in IN_WORDS and field.default is not dataclasses.MISSING:
                found.append((variable, shown(field.default)))
    return found


def test_variables_and_rows_match() -> None:
    assert len(ROWS) == len(TABLE)
    assert TABLE.keys() == VARIABLES


def test_row_has_readers_and_meaning() -> None:
    for variable, (readers, _, meaning) in TABLE.items():
        assert set(readers.split(", ")) <= {"model", "router", "stream", "batch", "rollout"}, variable
        assert meaning, variable


def test_most_defaults_can_be_compared() -> None:
    assert len(defaults()) > 30


@pytest.mark.parametrize(("variable", "default"), defaults())
def test_default_matches_the_code(variable: str, default: str) -> None:
    assert TABLE[variable][1] == default


def test_log_level_matches_the_code() -> None:
    assert TABLE["TIDEGATE_LOG_LEVEL"][1] == logs.DEFAULT_LEVEL


def test_batch_retry_time_and_event_path_match_the_code() -> None:
    assert TABLE["TIDEGATE_BATCH_RETRY_SECONDS"][1] == shown(RetryPolicy.total_seconds)
    assert TABLE["K_EVENT_PATH"][1] == batch.DEFAULT_EVENT_PATH


def test_batch_folders_match_the_code_and_the_manifests() -> None:
    assert TABLE[paths.SETTING][1] == batch.DEFAULT_PATHS
    (job,) = yaml.safe_load_all((ROOT / "manifests/base/batch/jobsink.yaml").read_text("utf-8"))
    (container,) = job["spec"]["job"]["spec"]["template"]["spec"]["containers"]
    assert {"name": paths.SETTING, "value": batch.DEFAULT_PATHS} in container["env"]


def test_manifest_variables_are_settings() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "manifests").rglob("*.yaml")]
    named = {name for text in texts for name in re.findall(r"\b(?:TIDEGATE|OTEL)_[A-Z_]+\b", text)}
    assert named <= TABLE.keys()
