"""Additions of a new model function to existing files, as functions from text to text.

Manifests and build steps are derived from the example's: a template would drift apart from the deployed ones.
"""

from __future__ import annotations

import re
from itertools import groupby, takewhile

from tidegate.scaffolding.names import EXAMPLE

MARKER = "# tidegate init adds model functions here."
ROUTER = "  - router"
ROW = f"| `functions/{EXAMPLE}/` |"

_MARKED = re.compile(rf"( *){re.escape(MARKER)}")
# An anchor of YAML, unless its name has the example's: a copy would define other names a second time.
_ANCHOR = re.compile(rf"^(\s*(?:- )?(?:[\w.-]+: )?)&(?![\w.-]*\b{EXAMPLE}\b)[\w.-]+ *")
_IMPORT = "from functions."


class NoPlace(Exception):
    """A file lacks the line that marks the place of an addition. The message is that line."""


class AlreadyListed(Exception):
    """A file has the addition already. The message is the line with it."""


def renamed(text: str, name: str) -> str:
    """The text with the name of another function in place of the example's."""
    return re.sub(rf"\b{EXAMPLE}\b", name, text)


def with_resource(kustomization: str, name: str) -> str:
    """The base's kustomization with the function's folder, before the router's. Raises NoPlace and AlreadyListed."""
    lines = _unless_listed(kustomization, f"- {name}")
    lines.insert(_place(lines, ROUTER), f"  - {name}")
    return _text(lines)


def with_row(architecture: str, name: str) -> str:
    """The table of parts with the function, below the example. Raises NoPlace and AlreadyListed."""
    lines = _unless_listed(architecture, f"| `functions/{name}/` |")
    row = f"| `functions/{name}/` | a model function, created by `tidegate init {name}` | no other function depends on it |"
    lines.insert(_place(lines, ROW) + 1, row)
    return _text(lines)


def with_artifacts(skaffold: str, name: str) -> str:
    """Skaffold's configuration with a copy of the example's artifacts in each list that has the marker.

    Raises NoPlace and AlreadyListed.
    """
    lines = _unless_listed(skaffold, f"image: {name}")
    marked = [(number, found[1]) for number, line in enumerate(lines) if (found := _MARKED.fullmatch(line))]
    if not marked:
        raise NoPlace(MARKER)
    for number, indent in reversed(marked):  # from the end, so that the numbers of earlier lines stay valid
        example = [line for item in _items_above(lines[:number], indent) if _names_example(item) for line in item]
        if not example:
            raise NoPlace(f"- image: {EXAMPLE}")
        lines[number:number] = [renamed(_ANCHOR.sub(r"\1", line).rstrip(), name) for line in example]
    return _text(lines)


def with_value(values: str, name: str) -> str:
    """The chart's values with the function, above the marker. Raises NoPlace and AlreadyListed."""
    lines = values.splitlines()
    place = _place(lines, f"  {MARKER}")
    # Only lines above it in the same mapping: elsewhere, `env: {}` is not a model.
    siblings = list(takewhile(lambda line: not line or line.startswith(" "), reversed(lines[:place])))
    if any(line.startswith(f"  {name}:") for line in siblings):
        raise AlreadyListed(f"{name}:")
    lines.insert(place, f"  {name}: {{}}")
    return _text(lines)


def with_sorted_imports(python: str) -> str:
    """The module with its imports of functions sorted, since their order depends on the function's name."""
    blocks = groupby(python.splitlines(), lambda line: line.startswith(_IMPORT))
    return _text([line for imports, block in blocks for line in (sorted(block) if imports else block)])


def _unless_listed(text: str, listed: str) -> list[str]:
    """The lines of the text. Raises AlreadyListed if one of them lists the item."""
    if re.search(rf"^(?: *- )? *{re.escape(listed)}(?:$| )", text, re.MULTILINE):
        raise AlreadyListed(listed)
    return text.splitlines()


def _place(lines: list[str], beginning: str) -> int:
    """The number of the first line with this beginning. Raises NoPlace."""
    for number, line in enumerate(lines):
        if line.startswith(beginning):
            return number
    raise NoPlace(beginning.strip())


def _items_above(lines: list[str], indent: str) -> list[list[str]]:
    """The items of the list that these lines end in, whose dashes have this indentation; each item as its lines."""
    items: list[list[str]] = [[]]
    for line in reversed(lines):
        if line.startswith((f"{indent}- ", f"{indent}  ")):
            items[0].insert(0, line)
            if line.startswith(f"{indent}- "):
                items.insert(0, [])
        elif line.strip() and not line.startswith(f"{indent}#"):
            break
    return items[1:]


def _names_example(item: list[str]) -> bool:
    return any(re.search(rf"\b{EXAMPLE}\b", line) for line in item)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
