from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegate.local.eventing.jobs.files import JobFiles


def item(name: str = "night", namespace: str = "default") -> dict[str, Any]:
    return {"kind": "Job", "metadata": {"name": name, "namespace": namespace}, "status": {"failed": 1}}


def test_saved_jobs_are_loaded_by_namespace_and_name(tmp_path: Path) -> None:
    files = JobFiles(tmp_path / "jobs")
    assert files.load() == []
    for saved in (item("b"), item("a"), item("a", "models")):
        files.save(saved)
    files.save({**item("a"), "status": {}})
    assert files.load() == [{**item("a"), "status": {}}, item("b"), item("a", "models")]


def test_a_deleted_job_leaves_nothing(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    files.save_event("default", "night", b"{}")
    files.save(item())
    assert files.event_folder("default", "night") == tmp_path / "default/night/event"
    files.delete("default", "night")
    assert not files.has("default", "night")
    assert files.event_folder("default", "night") is None
    files.delete("default", "night")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"metadata": {"name": "other", "namespace": "default"}}', "\udcff"])
def test_what_is_no_accepted_job_is_removed(tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture) -> None:
    files = JobFiles(tmp_path)
    files.save_event("default", "night", b"{}")
    if content is not None:
        (tmp_path / "default/night/job.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert files.load() == []
    assert not (tmp_path / "default/night").exists()
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "A", "a\0", "a\n"])
def test_a_name_that_is_none_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        JobFiles(tmp_path).delete("default", name)
    with pytest.raises(ValueError, match="not a name"):
        JobFiles(tmp_path).has(name, "night")
