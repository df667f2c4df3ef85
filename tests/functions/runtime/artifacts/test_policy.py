from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import InvalidSetting
from functions.runtime.artifacts.policy import CARD_FOLDER_ONLY, Policy


def test_a_policy_is_read_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "TIDEGATE_ARTIFACT_URIS": "s3://models/prod, https://h/models,",
        "TIDEGATE_CACHE": str(tmp_path),
        "TIDEGATE_MAX_ARTIFACT_BYTES": "1000",
        "TIDEGATE_ARTIFACT_SECONDS": "1.5",
    }
    assert Policy.from_env(environ) == Policy(allowed=("s3://models/prod", "https://h/models"), cache=tmp_path, max_bytes=1000, seconds=1.5)
    assert Policy.from_env({}) == CARD_FOLDER_ONLY


@pytest.mark.parametrize("uris", ["https://user:secret@h/models", "https://", "models", "s3://models/../all"])
def test_an_invalid_location_is_refused_at_start(uris: str) -> None:
    with pytest.raises(InvalidSetting, match="TIDEGATE_ARTIFACT_URIS has ") as caught:
        Policy.from_env({"TIDEGATE_ARTIFACT_URIS": uris})
    assert "secret" not in str(caught.value)


def test_without_a_writable_folder_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod without a volume, whose root file system is read-only."""

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(InvalidSetting, match="mount a volume and set TIDEGATE_CACHE to it"):
        Policy.from_env({"TIDEGATE_ARTIFACT_URIS": "https://models.example.com"})


def test_the_cache_is_the_user_s_or_else_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = {"TIDEGATE_ARTIFACT_URIS": "s3://models"}
    assert Policy.from_env(allowed | {"HOME": str(tmp_path)}).cache == tmp_path / ".cache" / "tidegate"
    assert Policy.from_env(allowed | {"HOME": "/", "XDG_CACHE_HOME": str(tmp_path)}).cache == tmp_path / "tidegate"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"tidegate-{os.getuid()}"
    assert Policy.from_env(allowed | {"HOME": "/dev/null"}).cache == Policy.from_env(allowed).cache == folder
    folder.rmdir()
    folder.symlink_to(tmp_path / "tidegate")
    with pytest.raises(InvalidSetting, match="set TIDEGATE_CACHE"):
        Policy.from_env(allowed)
