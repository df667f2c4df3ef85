"""What a new model function adds to files that are there, as functions from text to text.

Manifests and build steps come from the example's, as they are at that moment: a template of them would drift apart from what is deployed.
"""

from __future__ import annotations

import re
from itertools import groupby, takewhile

from tidegate.scaffolding.names import EXAMPLE

MARKER = "# tidegate init adds model functions here."
ROUTER = "  - router"
ROW = f"| `functions/{EXAMPLE}/` |"

_MARKED = re.compile(rf"( *){re.escape(MARKER)}")
# A node's anchor, unless it is called after the example: a name that a copy would give a second time.
_ANCHOR = re.compile(rf"^(\s*(?:- )?(?:[\w.-]+: )?)&(?![\w.-]*\b{EXAMPLE}\b)[\w.-]+ *")
_IMPORT = "from functions."


class NoPlace(Exception):
    """A file lacks the line that says where an addition goes. The message is that line."""


class Listed(Exception):
    """A file has the addition already. The message is the line that says so."""


def renamed(text: str, name: str) -> str:
    """What the text says of the example, said of another function."""
    return re.sub(rf"\b{EXAMPLE}\b", name, text)


def with_resource(kustomization: str, name: str) -> str:
    """The base with the function's folder, before the router's. Raises NoPlace and Listed."""
    lines = _unless_listed(kustomization, f"- {name}")
    lines.insert(_place(lines, ROUTER), f"  - {name}")
    return _text(lines)


def with_row(architecture: str, name: str) -> str:
    """The table of parts with the function, below the example. Raises NoPlace and Listed."""
    lines = _unless_listed(architecture, f"| `functions/{name}/` |")
    row = f"| `functions/{name}/` | a model function, created by `tidegate init {name}` | no other function depends on it |"
    lines.insert(_place(lines, ROW) + 1, row)
    return _text(lines)


def with_artifacts(skaffold: str, name: str) -> str:
    """Each list that has the marker with the example's artifacts once more, for the function. Raises NoPlace and Listed."""
    lines = _unless_listed(skaffold, f"image: {name}")
    marked = [(number, found[1]) for number, line in enumerate(lines) if (found := _MARKED.fullmatch(line))]
    if not marked:
        raise NoPlace(MARKER)
    for number, indent in reversed(marked):  # from below, so that the numbers above stay true
        example = [line for item in _items_above(lines[:number], indent) if _is_of_example(item) for line in item]
        if not example:
            raise NoPlace(f"- image: {EXAMPLE}")
        lines[number:number] = [renamed(_ANCHOR.sub(r"\1", line).rstrip(), name) for line in example]
    return _text(lines)


def with_value(values: str, name: str) -> str:
    """The chart's values with the function, above the marker. Raises NoPlace and Listed."""
    lines = values.splitlines()
    place = _place(lines, f"  {MARKER}")
    # Only what stands above it in the same mapping: elsewhere, `env: {}` is no model.
    siblings = list(takewhile(lambda line: not line or line.startswith(" "), reversed(lines[:place])))
    if any(line.startswith(f"  {name}:") for line in siblings):
        raise Listed(f"{name}:")
    lines.insert(place, f"  {name}: {{}}")
    return _text(lines)


def with_sorted_imports(python: str) -> str:
    """Imports of functions in the order of their modules, which depends on what the function is called."""
    blocks = groupby(python.splitlines(), lambda line: line.startswith(_IMPORT))
    return _text([line for imports, block in blocks for line in (sorted(block) if imports else block)])


def _unless_listed(text: str, listed: str) -> list[str]:
    """The lines, of which none may say that."""
    if re.search(rf"^(?: *- )? *{re.escape(listed)}(?:$| )", text, re.MULTILINE):
        raise Listed(listed)
    return text.splitlines()


def _place(lines: list[str], beginning: str) -> int:
    for number, line in enumerate(lines):
        if line.startswith(beginning):
            return number
    raise NoPlace(beginning.strip())


def _items_above(lines: list[str], indent: str) -> list[list[str]]:
    """The items, each as its lines, of the list that these lines end in, and whose dashes are indented so."""
    items: list[list[str]] = [[]]
    for line in reversed(lines):
        if line.startswith((f"{indent}- ", f"{indent}  ")):
            items[0].insert(0, line)
            if line.startswith(f"{indent}- "):
                items.insert(0, [])
        elif line.strip() and not line.startswith(f"{indent}#"):
            break
    return items[1:]


def _is_of_example(item: list[str]) -> bool:
    return any(re.search(rf"\b{EXAMPLE}\b", line) for line in item)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
