from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadtest.compare.environments import NotInstalled, environment, versions


def test_what_cannot_be_installed_is_one_sentence_with_pips_reason(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-project")
    with pytest.raises(NotInstalled, match="no-such-project: ERROR: ") as failed:
        environment(tmp_path / "venv", (missing,))
    assert "\n" not in str(failed.value)


def test_an_environment_is_used_again_for_the_same_packages_only(tmp_path: Path) -> None:
    (tmp_path / "installed.json").write_text('["a-package"]')
    assert environment(tmp_path, ("a-package",)) == tmp_path / "bin" / "python"
    with pytest.raises(NotInstalled):
        environment(tmp_path, (str(tmp_path / "another"),))
    assert not (tmp_path / "installed.json").exists()


def test_versions_are_those_of_what_is_installed() -> None:
    found = versions(Path(sys.executable), ("pytest", "no-such-package"))
    assert found == {"pytest": pytest.__version__}
