from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.doctor.finding import Level
from tidegate.doctor.machine import environment


def test_old_python_is_an_error_with_the_version_to_install() -> None:
    assert environment.check_python().level is Level.OK
    found = environment.check_python((3, 9, 2))
    assert found.level is Level.ERROR
    assert found.message == "is 3.9.2; 3.11 or newer is needed."
    assert "python3.11" in found.remedy


def test_packages_of_the_workbench_are_installed() -> None:
    (found,) = environment.check_packages()
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("no-such-package>=1", "no-such-package is not installed."),
        ("typer>=9000.1; extra == 'workbench'", "9000.1 or newer is needed."),
        ("kafka-python[crc32c]>=0.1", ""),
        ("xgboost-cpu>=1; sys_platform == 'linux'", ""),
    ],
)
def test_missing_or_old_package_is_an_error(requirement: str, problem: str) -> None:
    (found,) = environment.check_packages([requirement])
    assert found.level is (Level.ERROR if problem else Level.OK)
    assert problem in found.message


def test_package_that_cannot_be_imported_has_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise OSError('libgomp.so.1: cannot open')")
    (tmp_path / "broken_package-1.0.dist-info").mkdir()
    (tmp_path / "broken_package-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken_package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = environment.check_packages(["broken_package>=1"])
    assert found.message == "broken_package is installed and cannot be imported: libgomp.so.1: cannot open."


def test_missing_tool_is_a_note_and_installed_one_has_its_version(tmp_path: Path) -> None:
    tool = tmp_path / "buildah"
    tool.write_text("#!/bin/sh\necho buildah version 1.41\n")
    tool.chmod(0o755)
    found = {item.subject: item for item in environment.check_tools(lambda name: str(tool) if name == "buildah" else None)}
    assert found["buildah"].message == "buildah version 1.41"
    assert {found["kubectl"].level, found["skaffold"].level} == {Level.NOTE}
