from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.local.apache import java
from tidegate.local.errors import MissingProgram


def program(folder: Path, output: str, name: str = "java") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{output}' >&2\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_version_is_read(output: str, found: int | None) -> None:
    assert java.version(output) == found


def test_java_of_java_home_comes_first(tmp_path: Path) -> None:
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    chosen = program(home / "bin", 'openjdk version "21.0.1"')
    program(tmp_path, 'openjdk version "17.0.15"')
    assert java.find({"PATH": str(tmp_path), "JAVA_HOME": str(home)}) == str(chosen)
    assert java.find({"PATH": str(tmp_path)}) == str(tmp_path / "java")


def test_missing_java_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match=r"^Apache Kafka needs Java, which is not on the PATH; install Java 17 or newer.*\.$"):
        java.find({"PATH": str(tmp_path)})
    with pytest.raises(MissingProgram, match=r"Java, and \S+/bin/java cannot be run .*; install Java 17"):
        java.find({"JAVA_HOME": str(tmp_path)})


def test_old_java_is_one_sentence(tmp_path: Path) -> None:
    program(tmp_path, 'java version "1.8.0_292"')
    with pytest.raises(MissingProgram, match=r"needs Java 17 or newer, and \S+/java is Java 8; install Java 17 or newer, or name"):
        java.find({"PATH": str(tmp_path)})


def test_java_that_only_asks_for_an_installation_is_named(tmp_path: Path) -> None:
    program(tmp_path, "Unable to locate a Java Runtime.")
    with pytest.raises(MissingProgram, match="does not report its version; install Java"):
        java.find({"PATH": str(tmp_path)})
