from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.distribution import LONGEST

SKIPPED = "import pytest\n\n\ndef test_it() -> None:\n    pytest.skip('there is no broker')\n"
SKIPPED_MODULE = "import pytest\n\npytest.importorskip('no_such_module')\n"
EXPECTED_FAILURE = "import pytest\n\n\n@pytest.mark.xfail\ndef test_it() -> None:\n    raise AssertionError\n"


def _pytest(folder: Path, source: str, require: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, env=os.environ | {"REQUIRE": require}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("source", "reason"), [(SKIPPED, "there is no broker"), (SKIPPED_MODULE, "no_such_module")])
def test_skipped_test_fails_when_all_are_required(tmp_path: Path, source: str, reason: str) -> None:
    done = _pytest(tmp_path, source, "all")
    assert done.returncode != 0
    assert reason in done.stdout


def test_skipped_test_passes_by_default(tmp_path: Path) -> None:
    assert "1 skipped" in _pytest(tmp_path, SKIPPED, "").stdout


def test_expected_failure_does_not_count_as_skipped(tmp_path: Path) -> None:
    assert _pytest(tmp_path, EXPECTED_FAILURE, "all").returncode == 0


def test_files_that_begin_first_exist() -> None:
    assert [name for name in LONGEST if not (Path(__file__).parents[1] / name).is_file()] == []
