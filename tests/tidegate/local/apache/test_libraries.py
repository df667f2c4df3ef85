"""The download of Apache Kafka, with a program in Maven's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.local.apache import libraries
from tidegate.local.errors import MissingProgram, StartFailed
from tidegate.local.processes.orphan_reaper import OrphanReaper


@pytest.fixture
def reaper() -> Iterator[OrphanReaper]:
    with OrphanReaper() as found:
        yield found


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `mvn`, the only one on the PATH; tests write its script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder / "mvn"


def write(script: Path, body: str) -> None:
    script.write_text(
        f'#!/bin/sh\nPATH=/bin:/usr/bin\nfor word; do case "$word" in -DoutputDirectory=*) out="${{word#*=}}";; esac; done\n{body}\n'
    )
    script.chmod(0o755)


async def test_cached_libraries_need_no_maven(maven: Path, tmp_path: Path, reaper: OrphanReaper) -> None:
    folder = tmp_path / "cache" / f"kafka-{libraries.VERSION}"
    folder.mkdir(parents=True)
    for name in libraries.digests():
        (folder / name).touch()
    assert await libraries.installed(folder.parent, tmp_path / "log", reaper) == folder


async def test_missing_maven_is_one_sentence(maven: Path, tmp_path: Path, reaper: OrphanReaper) -> None:
    with pytest.raises(
        MissingProgram, match=r"is not in \S+ yet, and Maven, which downloads it, is not on the PATH; install Maven \(mvn\)\.$"
    ):
        await libraries.installed(tmp_path / "cache", tmp_path / "log", reaper)


async def test_failed_download_names_its_output_and_leaves_nothing(maven: Path, tmp_path: Path, reaper: OrphanReaper) -> None:
    write(maven, 'mkdir -p "$out"; touch "$out/half.jar"; echo no route to host; exit 1')
    with pytest.raises(StartFailed, match=rf"ended with exit code 1, and its output is in {tmp_path}/log; check the connection"):
        await libraries.installed(tmp_path / "cache", tmp_path / "log", reaper)
    assert "no route to host" in (tmp_path / "log").read_text()
    assert not list((tmp_path / "cache").iterdir())


async def test_library_with_another_digest_is_refused(maven: Path, tmp_path: Path, reaper: OrphanReaper) -> None:
    first = next(iter(libraries.digests()))
    write(maven, f'mkdir -p "$out"; echo other > "$out/{first}"')
    with pytest.raises(StartFailed, match=rf"{first} of Apache Kafka .* has the SHA-256 digest [0-9a-f]{{64}}, not"):
        await libraries.installed(tmp_path / "cache", tmp_path / "log", reaper)
    assert not list((tmp_path / "cache").iterdir())


async def test_unwritable_cache_is_named(maven: Path, tmp_path: Path, reaper: OrphanReaper) -> None:
    write(maven, "exit 0")
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=rf"cannot write into {tmp_path}/file: .*; set XDG_CACHE_HOME to another folder"):
        await libraries.installed(tmp_path / "file", tmp_path / "log", reaper)
