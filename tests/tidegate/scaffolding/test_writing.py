from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.scaffolding.plan import Change
from tidegate.scaffolding.writing import write


def test_interruption_undoes_all_changes(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("before")

    def interrupted() -> Iterator[Change]:
        yield Change(tmp_path / "a/b/new", "new")
        yield Change(tmp_path / "there", "after", before="before")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "before"
