"""The event of the command line: attributes and data from options, a file or standard input."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from eventing.event import SPECVERSION, AttributeValue, Event, check, check_characters, is_json
from tidegate.sending.errors import InvalidOption

# What an ingress of `tidegate up` accepts.
MAX_DATA_BYTES = 8 << 20
_JSON = "application/json"
# Attributes that have options of their own, and names that the JSON format keeps for data.
_OPTIONS = {"type": "the argument TYPE", "id": "--id", "source": "--source", "subject": "--subject", "datacontenttype": "--content-type"}
_OPTIONS |= {"data": "--data", "data_base64": "--data"}


def event_of(
    type_: str,
    *,
    data: str | None,
    id_: str | None,
    source: str,
    subject: str | None,
    content_type: str | None,
    extensions: Sequence[str],
) -> Event:
    """Return the event of the options. Raises InvalidOption or InvalidEvent."""
    body = read_data(data)
    attributes: dict[str, AttributeValue] = {
        "specversion": SPECVERSION,
        "id": str(uuid.uuid4()) if id_ is None else id_,
        "source": source,
        "type": type_,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if subject is not None:
        attributes["subject"] = subject
    if body is not None:
        attributes["datacontenttype"] = content_type or _JSON
        if is_json(content_type):
            _check_json(body, data or "")
    attributes |= extensions_of(extensions)
    check(attributes)
    check_characters(attributes)
    return Event(attributes, body)


def extensions_of(given: Sequence[str]) -> Mapping[str, str]:
    """Return the attributes of `--set name=value`, the last one of a name. Raises InvalidOption."""
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise InvalidOption(f"--set has {item!r} without a value", remedy=f"write --set {item}=VALUE")
        if name == "specversion":
            raise InvalidOption("--set cannot change specversion", remedy=f"events are sent as {SPECVERSION}")
        if name in _OPTIONS:
            raise InvalidOption(f"--set cannot change {name}", remedy=f"use {_OPTIONS[name]}")
        found[name] = value
    return found


def read_data(data: str | None) -> bytes | None:
    """Return the data of `--data`: itself, the content of a file (`@FILE`), or standard input (`-`). Raises InvalidOption."""
    if data is None:
        return None
    if data == "-":
        return _bounded(sys.stdin.buffer, "standard input")
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    path = Path(data[1:])
    try:
        with path.open("rb") as file:
            return _bounded(file, str(path))
    except OSError as error:
        raise InvalidOption(f"--data cannot read {path}: {error.strerror}", remedy="name a file after @") from None


def _bounded(file: BinaryIO, name: str) -> bytes:
    content = file.read(MAX_DATA_BYTES + 1)
    if len(content) > MAX_DATA_BYTES:
        raise InvalidOption(f"{name} is larger than {MAX_DATA_BYTES >> 20} MiB", remedy="send a reference to the data")
    return content


def _check_json(body: bytes, data: str) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        name = {"-": "standard input", "@": data[1:]}.get(data[:1], "the data")
        raise InvalidOption(f"{name} is not JSON: {error}", remedy="fix it, or name its media type by --content-type") from None
