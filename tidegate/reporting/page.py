"""A self-contained HTML page: nothing is loaded from elsewhere, so that it opens anywhere and can be sent to someone.

Every text is escaped; a `Markup` is one that was made here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import NewType

from common.errors import RemediedError

Markup = NewType("Markup", str)

# No script, no font, no image from elsewhere: a browser enforces it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0.2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.note { color: #555; } ul { padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
caption { text-align: left; white-space: nowrap; color: #555; padding-bottom: 0.3rem; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th.number, td.number { text-align: right; white-space: nowrap; }
td.verdict { font-weight: 600; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.92rem; max-width: 46rem; }
code { font-size: 0.92em; overflow-wrap: anywhere; }
@media print { body { margin: 0; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


class ReportNotWritten(RemediedError):
    """The report cannot be written."""


def page(title: str, subtitle: str, body: Sequence[Markup]) -> str:
    """Return a whole page."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    main = f'<h1>{escape(title)}</h1><p class="note">{escape(subtitle)}</p>{"".join(body)}'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><main>{main}</main></body></html>\n'


def section(title: str, *parts: Markup) -> Markup:
    """Return a heading with its content."""
    return Markup(f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>")


def paragraph(text: str) -> Markup:
    return Markup(f"<p>{escape(text)}</p>")


def items(texts: Sequence[str]) -> Markup:
    """Return a list."""
    return Markup(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>")


def figure(svg: str, caption: str) -> Markup:
    """Return a picture, an `<svg>` element, with the sentence that says what it shows."""
    return Markup(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> Markup:
    """Return a table whose first column names the row; `numbers` are the columns aligned to the right."""

    def kind(column: int) -> str:
        return ' class="number"' if column in numbers else ""

    heads = "".join(f'<th scope="col"{kind(column)}>{escape(text)}</th>' for column, text in enumerate(head))
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{kind(column)}>{escape(text)}</td>" for column, text in enumerate(rest, 1))
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    body = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return Markup(f'<div class="scroll"><table><caption>{escape(caption)}</caption>{body}</table></div>')


def check_writable(path: Path) -> None:
    """Check that a page can be written, before the work for it. Raises ReportNotWritten."""
    if path.is_dir():
        raise _not_written(path, "it is a folder")
    if not path.parent.is_dir():
        raise _not_written(path, "its folder does not exist")
    if not os.access(path.parent, os.W_OK):
        raise _not_written(path, "its folder is not writable")


def write(path: Path, text: str) -> None:
    """Write a page; the file appears when it is complete, and replaces an earlier one. Raises ReportNotWritten."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise _not_written(path, error.strerror or str(error)) from None


def _not_written(path: Path, reason: str) -> ReportNotWritten:
    return ReportNotWritten(f"cannot write the report {path} ({reason})", remedy="name another file with --report")
