from __future__ import annotations

from pathlib import Path

import pytest

from functions.batch.errors import InvalidPath
from functions.batch.storage import SourceFile, check_distinct
from tests.functions.batch.storage.datasets import opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file that has a symbolic and a hard link, and another file."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("a\n1\n")
    (folder / "b.csv").write_text("a\n1\n")
    (tmp_path / "soft.csv").symlink_to(folder / "a.csv")
    (tmp_path / "hard.csv").hardlink_to(folder / "a.csv")
    (tmp_path / "link").symlink_to(folder)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("data/a.csv", "data/a.csv"),
        ("data/a.csv", "data/../data/a.csv"),
        ("data/a.csv", "soft.csv"),
        ("data/a.csv", "hard.csv"),
        ("soft.csv", "data/a.csv"),
        ("data/a.csv", "link/a.csv"),
        ("data/a.csv", "data"),
        ("data/*.csv", "link"),
        ("data", "data/out"),
        ("link", "data/out.csv"),
        ("data", "."),
    ],
)
def test_output_that_is_read_is_refused(source: str, output: str, data: Path) -> None:
    with pytest.raises(InvalidPath, match="; choose another output"):
        check_distinct(str(data / source), opened(data / source).files, str(data / output))


@pytest.mark.parametrize(
    ("source", "output"),
    [("data/a.csv", "data/b.csv"), ("data/a.csv", "data/out"), ("data/*.csv", "data/out"), ("data", "data-2"), ("data", "s3://data/out")],
)
def test_output_beside_the_input_is_allowed(source: str, output: str, data: Path) -> None:
    check_distinct(str(data / source), opened(data / source).files, output if "://" in output else str(data / output))


def test_objects_are_compared_by_their_keys() -> None:
    files = (SourceFile(name="a.csv", location="s3://bucket/in/a.csv", size=1, version="etag:1", rows=None),)
    for location, output in [
        ("s3://bucket/in/a.csv", "s3://bucket/in/a.csv"),
        ("s3://bucket/in", "s3://bucket/in/out"),
        ("s3://bucket/in", "s3://bucket"),
    ]:
        with pytest.raises(InvalidPath, match="choose another output"):
            check_distinct(location, files, output)
    check_distinct("s3://bucket/in", files, "s3://bucket/in-2")
    check_distinct("s3://bucket/in", files, "gs://bucket/in")
