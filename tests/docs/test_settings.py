"""Every setting is told where its reader looks, with the default that it has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from functions.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
# The Knative client's are the router's, which `tidegate up` and the pod's service account set.
OF_THE_ROUTER = {"TIDEGATE_KUBERNETES_API"}
VARIABLES = {
    name
    for path in (ROOT / "functions/runtime").rglob("*.py")
    for name in re.findall(r'"((?:TIDEGATE|OTEL)_[A-Z_]+|PORT)"', path.read_text("utf-8"))
} - OF_THE_ROUTER


def test_settings_are_found() -> None:
    assert {"PORT", "TIDEGATE_MODEL", "TIDEGATE_CACHE", "TIDEGATE_PAYLOAD_SINK"} <= VARIABLES


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_every_variable_is_on_a_page(variable: str) -> None:
    assert [name for name, text in PAGES.items() if f"`{variable}`" in text]


@pytest.mark.parametrize("field", [field for field in dataclasses.fields(Settings) if field.name != "model"], ids=lambda field: field.name)
def test_the_page_of_serving_tells_the_defaults(field: dataclasses.Field[object]) -> None:
    variable = "PORT" if field.name == "port" else f"TIDEGATE_{field.name.upper()}"
    (row,) = [line for line in PAGES["serving.md"].splitlines() if line.startswith(f"| `{variable}` |")]
    default = field.default
    shown = str(default).lower() if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else str(default)
    assert row.split("|")[2].strip() == shown
