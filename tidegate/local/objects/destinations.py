"""Destinations of events: where an object names them, and the rules of Knative's webhook for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from tidegate.local.objects.eventing import Destination
from tidegate.local.objects.validation import webhook_error

P = TypeVar("P", bound=BaseModel)

_ABSOLUTE = "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present"


def destinations(model: BaseModel) -> Iterator[tuple[str, Destination]]:
    """Each destination of an object with its path, such as `spec.delivery.deadLetterSink`."""
    return parts(model, Destination)


def parts(model: BaseModel, kind: type[P], path: str = "") -> Iterator[tuple[str, P]]:
    """Each part of an object that is of a kind, with its path."""
    for name, field in type(model).model_fields.items():
        yield from _in(getattr(model, name), kind, f"{path}.{field.alias or name}" if path else field.alias or name)


def check(model: BaseModel) -> None:
    """Raise InvalidObject for the first destination that names nothing, or an object and an absolute URI."""
    for path, destination in destinations(model):
        _check(destination, path)


def _in(value: object, kind: type[P], path: str) -> Iterator[tuple[str, P]]:
    if isinstance(value, kind):
        yield path, value
    if isinstance(value, BaseModel):
        yield from parts(value, kind, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in(item, kind, f"{path}[{index}]")


def _check(destination: Destination, path: str) -> None:
    if destination.ref is None and destination.uri is None:
        raise webhook_error(f"{path}.ref, {path}.uri", "expected at least one, got none")
    if destination.ref is not None and not destination.ref.name:
        raise webhook_error(f"{path}.ref.name", "missing field(s)")
    if destination.uri is None:
        return
    absolute = _is_absolute(destination.uri)
    if destination.ref is not None and absolute:
        raise webhook_error(f"{path}.ref, {path}.uri, {path}[apiVersion, kind, name]", _ABSOLUTE)
    if destination.ref is None and not absolute:
        problem = "Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent"
        raise webhook_error(f"{path}.uri", f"invalid value: {problem}")


def _is_absolute(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return bool(parts.scheme and parts.hostname)
    except ValueError:  # such as an address in brackets that is none
        return False
