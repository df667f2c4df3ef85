from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import coldstart


def _imports(statement: str) -> list[coldstart.Import]:
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True)
    return coldstart.parse(done.stderr)


def test_imports_are_parsed() -> None:
    imports = _imports("import json.decoder")
    assert {"json", "json.decoder", "json.scanner"} <= {item.module for item in imports}
    assert all(0 <= item.own <= item.total for item in imports)


def test_forbidden_import_is_named_once() -> None:
    imports = [coldstart.Import(name, 1.0, 1.0) for name in ("json", "numpy", "numpy.linalg", "numpydoc", "fastapi.routing")]
    assert coldstart.forbidden(imports) == ["fastapi", "numpy"]


@pytest.mark.parametrize("module", ["functions.runtime.main", "functions.flights.transform"])
def test_what_starts_from_zero_imports_nothing_forbidden(module: str) -> None:
    imports = _imports(f"import {module}")
    assert module in {item.module for item in imports}
    assert coldstart.forbidden(imports) == []


def test_function_that_does_not_start_is_reported(tmp_path: Path) -> None:
    with pytest.raises(coldstart.NoAnswer, match=r"functions\.flights did not answer with status 200: .*model"):
        coldstart.measure(tmp_path / "missing")
