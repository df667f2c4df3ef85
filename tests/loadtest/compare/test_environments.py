from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadtest.compare.environments import NotInstalled, environment, versions


def test_failed_installation_has_the_reason_of_pip(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-project")
    with pytest.raises(NotInstalled, match="no-such-project: ERROR: ") as failed:
        environment(tmp_path / "venv", (missing,))
    assert "\n" not in str(failed.value)


def test_environment_is_reused_for_equal_packages_only(tmp_path: Path) -> None:
    (tmp_path / "installed.json").write_text('["a-package"]')
    assert environment(tmp_path, ("a-package",)) == tmp_path / "bin" / "python"
    with pytest.raises(NotInstalled):
        environment(tmp_path, (str(tmp_path / "another"),))
    assert not (tmp_path / "installed.json").exists()


def test_versions_are_of_the_installed_distributions() -> None:
    found = versions(Path(sys.executable), ("pytest", "no-such-package"))
    assert found == {"pytest": pytest.__version__}
