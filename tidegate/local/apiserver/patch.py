"""JSON merge patch (RFC 7396) and JSON patch (RFC 6902), as functions of values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tidegate.local.apiserver.status_error import StatusError


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396, section 2): null removes, objects merge, any other value replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def apply(target: Any, operations: Any) -> Any:
    """Apply all operations of a JSON patch (RFC 6902) to a copy.

    Raises StatusError 422 if one of them fails, and 400 for a value that is not a list of operations.
    """
    if not isinstance(operations, list):
        remedy = "send application/merge-patch+json for an object"
        raise StatusError.bad_request("a JSON patch must be a list of operations", remedy=remedy)
    box = {"": deepcopy(target)}
    for index, operation in enumerate(operations):
        try:
            _operate(box, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StatusError(
                422, "Invalid", f"the server rejected our request due to an error in our request: operation {index}: {error}"
            ) from None
    return box[""]


def _operate(box: dict[str, Any], operation: dict[str, Any]) -> None:
    kind, path = operation["op"], _tokens(operation["path"])
    match kind:
        case "add":
            _add(box, path, deepcopy(operation["value"]))
        case "remove":
            _remove(box, path)
        case "replace":
            _remove(box, path)
            _add(box, path, deepcopy(operation["value"]))
        case "move":
            _add(box, path, _remove(box, _tokens(operation["from"])))
        case "copy":
            _add(box, path, deepcopy(_get(box, _tokens(operation["from"]))))
        case "test":
            if _get(box, path) != operation["value"]:
                raise ValueError(f"testing value {operation['path']} failed")
        case _:
            raise ValueError(f"unexpected kind: {kind}")


def _tokens(pointer: str) -> list[str]:
    """The tokens of a JSON pointer (RFC 6901). The first one is empty, the key of the whole document."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _get(value: Any, path: list[str]) -> Any:
    for token in path:
        value = value[_index(value, token)] if isinstance(value, list) else value[token]
    return value


def _add(box: Any, path: list[str], value: Any) -> None:
    parent = _get(box, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _index(parent, path[-1], len(parent) + 1), value)
    else:
        parent[path[-1]] = value


def _remove(box: Any, path: list[str]) -> Any:
    parent = _get(box, path[:-1])
    return parent.pop(_index(parent, path[-1]) if isinstance(parent, list) else path[-1])


def _index(items: list[Any], token: str, end: int | None = None) -> int:
    # An array index has no leading zero and no sign (RFC 6901, section 4), and Python's negative indexes must not pass.
    if not token.isascii() or not token.isdigit() or (token != "0" and token.startswith("0")):  # noqa: S105
        raise ValueError(f"{token!r} is not an index")
    if int(token) >= (len(items) if end is None else end):
        raise IndexError(f"index {token} is out of bounds")
    return int(token)
