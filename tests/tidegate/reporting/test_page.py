from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.reporting import page


def test_text_is_escaped() -> None:
    evil = "<script>alert(1)</script>&\"'"
    text = page.page(evil, evil, [page.section(evil, page.paragraph(evil), page.items([evil]), page.table(evil, [evil], [[evil, evil]]))])
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") == 10


def test_page_may_load_nothing() -> None:
    assert "default-src 'none'" in page.page("t", "s", [])


def test_page_replaces_an_earlier_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    page.check_writable(path)
    page.write(path, "new")
    assert path.read_text("utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_page_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(page.ReportNotWritten, match=r"cannot write the report .* \(it is a folder\); name another file with --report\.$"):
        page.check_writable(tmp_path)
    with pytest.raises(page.ReportNotWritten, match="its folder does not exist"):
        page.check_writable(tmp_path / "nowhere" / "x.html")
    (tmp_path / "x.html").mkdir()
    with pytest.raises(page.ReportNotWritten, match="cannot write the report"):
        page.write(tmp_path / "x.html", "text")
    assert [item.name for item in tmp_path.iterdir()] == ["x.html"]
