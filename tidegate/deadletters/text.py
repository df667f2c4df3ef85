"""Letters as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.deadletters.ledger import ReasonCount

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def show_reasons(reasons: Iterable[ReasonCount], console: Console) -> None:
    """Print the number of letters by reason."""
    rows = [[f"{count:,}", str(reason.status or ""), reason.title, example] for reason, count, example in reasons]
    console.print(_table(["letters", "status", "reason", "such as"], rows, numbers=1))


def show_list(found: Mapping[str, Any], reasons: Iterable[ReasonCount], console: Console, *, has_states: bool) -> None:
    """Print the counts of a list by reason, then its rows."""
    dealt = ", ".join(f"{found[state]:,} {state}" for state in ("open", "claimed", "replayed", "discarded") if found[state])
    others = f"; {found['other_records']:,} other records" if found["other_records"] else ""
    console.print(f"{found['topic']}: {dealt or 'no letter'} of {found['read']:,} letters read{others}", soft_wrap=True)
    for run, count in found["held"].items():
        console.print(f"{count:,} are held by the run {clean(run)}; if it was killed, --take-over {clean(run)}", soft_wrap=True)
    if not found["letters"]:
        return
    console.print()
    show_reasons(reasons, console)
    console.print()
    head = ["letter", "time", *(["state"] if has_states else []), "reason", "id", "key"]
    rows = [
        [
            f"{letter['partition']}:{letter['offset']}",
            letter["time"],
            *([letter["state"]] if has_states else []),
            f"{letter['status']} {letter['title']}",
            letter["id"] or "",
            letter["key"] or "",
        ]
        for letter in found["letters"]
    ]
    console.print(_table(head, rows))


def show_letter(found: Mapping[str, Any], console: Console) -> None:
    """Print everything of a letter."""
    problem, origin = found["problem"], found["origin"]
    lines = [
        ("letter", f"{found['topic']}, partition {found['partition']}, offset {found['offset']}, {found['time']}, {found['state']}"),
        ("reason", f"{problem['status']} {problem['title']}: {problem['detail']}"),
        *((name, _text(value)) for name, value in problem.items() if name not in ("status", "title", "detail")),
        ("origin", f"{origin['topic']}, partition {origin['partition']}, offset {origin['offset']}" if origin else "not named"),
        ("stream", f"{found['stream']}, after {found['attempts']} calls"),
    ]
    if found["replay"]:
        lines.append(("replay", f"of the letter {found['replay']['letter']}, by the run {found['replay']['run']}"))
    lines.append(("key", found["key"] or ""))
    if found["not_an_event"]:
        lines.append(("not an event", found["not_an_event"]))
    _print_pairs(lines, console)
    if found["attributes"]:
        console.print()
        _print_pairs(found["attributes"].items(), console)
    console.print()
    _print_pairs(((f"header {name}", value or "") for name, value in found["headers"]), console)
    console.print()
    data = found["data_hex"] if "data_hex" in found else found["data"]
    console.print(clean(data or "(no data)"), soft_wrap=True)


def clean(text: str) -> str:
    """Return a text without characters that would control the terminal."""
    return text.translate(_CONTROL)


def _print_pairs(pairs: Iterable[tuple[str, str]], console: Console) -> None:
    for name, value in pairs:
        console.print(f"{clean(name):<18} {clean(value)}", soft_wrap=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _table(head: list[str], rows: Iterable[list[str]], numbers: int = 0) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(head):
        table.add_column(Text(title), overflow="fold", justify="right" if index < numbers else "left")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table
