"""A file of streams: each is a set of the worker's settings, under their names in lower case without the prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from common.environ import Environ, is_url
from common.errors import InvalidSetting
from common.redaction import redact_url
from functions.stream.settings import StreamSettings

STREAMS = "TIDEGATE_STREAMS"
_SINK = "K_SINK"
_OURS = "TIDEGATE"
_PASSWORD = "TIDEGATE_KAFKA_PASSWORD"  # noqa: S105 the name of a variable
_REGISTRY = "TIDEGATE_SCHEMA_REGISTRY"
# Credentials go with the address that they are for: naming another address drops those that were inherited.
_CREDENTIALS = {"TIDEGATE_BOOTSTRAP_SERVERS": f"{_OURS}_KAFKA_", _REGISTRY: f"{_REGISTRY}_"}
_ACCESS = (*_CREDENTIALS.values(), _REGISTRY)
_PREFIXES = (f"{_OURS}_STREAM_", f"{_OURS}_")
# They belong to the process.
_OF_THE_PROCESS = frozenset({"PORT", "TIDEGATE_HOST", "KUBERNETES_SERVICE_HOST"})
_VARIABLE = re.compile(r"\b(?:TIDEGATE_[A-Z_]+|K_SINK)\b")
# The characters of a topic.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStream:
    """One stream. Its name is unique among those of a process."""

    name: str
    settings: StreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stream as the file has it: `variables` are those of its defaults, overridden by its own."""

    place: str
    """For messages: the stream's name or number, and the file."""
    name: str
    layers: tuple[Mapping[str, str], ...]

    def without_access(self) -> Entry:
        """Return the stream without what is only for connections, for readers that lack its files of credentials."""
        return replace(
            self, layers=tuple({name: value for name, value in layer.items() if not name.startswith(_ACCESS)} for layer in self.layers)
        )


def read(path: str) -> list[Entry]:
    """Return the streams of a file. Raises InvalidSetting, which names the stream and the key."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidSetting(f"{STREAMS} is {path!r}, which cannot be read ({reason})", remedy="set it to a file of streams") from None
    return parse(text, path)


def parse(text: str, path: str) -> list[Entry]:
    """Return the streams of a document. Raises InvalidSetting."""
    document = _load(text, path)
    remedy = "write a map with streams, a list, and perhaps defaults, a map"
    if not isinstance(document, dict):
        raise InvalidSetting(f"{path} is not a map", remedy=remedy)
    for key in document.keys() - {"defaults", "streams"}:
        raise InvalidSetting(f"{path} has the unknown key {key!r}", remedy=remedy)
    streams = document.get("streams")
    if not isinstance(streams, list) or not streams:
        raise InvalidSetting(f"{path} has no streams", remedy=remedy)
    defaults = _variables(document.get("defaults") or {}, f"the defaults of {path}")
    entries = [_entry(number, item, defaults, path) for number, item in enumerate(streams, start=1)]
    _check_unique([entry.name for entry in entries], "name", path)
    return entries


def needs_sink(entries: Sequence[Entry]) -> bool:
    """Return whether a stream is posted to what K_SINK names, or to a path there."""
    return any(not (sink := _merged(entry.layers).get(_SINK)) or sink.startswith("/") for entry in entries)


def settings_of(entries: Sequence[Entry], environ: Environ, path: str) -> list[NamedStream]:
    """Return the settings of each stream; the process's environment has the defaults below those of the file.

    Raises InvalidSetting.
    """
    streams = [NamedStream(name=entry.name, settings=_settings(entry, environ)) for entry in entries]
    _check_unique([stream.settings.group for stream in streams], "group", path)
    return streams


def key_of(variable: str) -> str:
    """Return the key of a variable: `batch_size` for TIDEGATE_STREAM_BATCH_SIZE."""
    if variable == _SINK:
        return "sink"
    return next(variable.removeprefix(prefix) for prefix in _PREFIXES if variable.startswith(prefix)).lower()


@cache
def _known() -> dict[str, str]:
    """Return the variables of a stream by their keys: those that its settings read, so that there is no second list."""
    least = {"TIDEGATE_BOOTSTRAP_SERVERS": "b:1", "TIDEGATE_STREAM_INPUT": "i", "TIDEGATE_STREAM_OUTPUT": "o", _SINK: "http://s/m"}
    recording = _Recording(least)
    StreamSettings.from_env(recording)
    return {key_of(name): name for name in recording.read if name not in _OF_THE_PROCESS}


class _Recording(Mapping[str, str]):
    """Variables that remember which of them were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _load(text: str, path: str) -> Any:
    import yaml  # only workers of several streams need it

    class Loader(yaml.BaseLoader):
        """Scalars stay as they are written, as in the environment; duplicate keys are an error."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice!r}", node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506 a BaseLoader makes only strings, lists and maps
    except (yaml.YAMLError, RecursionError) as error:
        # Without the excerpt of the file that the error has.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}: {getattr(error, 'problem', '')})" if mark else ""
        raise InvalidSetting(f"{path} is not YAML{where}", remedy="correct it") from None


def _entry(number: int, item: Any, defaults: Mapping[str, str], path: str) -> Entry:
    if not isinstance(item, dict):
        raise InvalidSetting(f"stream {number} of {path} is not a map", remedy="write its settings as keys with values")
    item = dict(item)
    name = item.pop("name", None) or item.get("input") or ""
    place = f"stream {name!r} of {path}" if name and isinstance(name, str) else f"stream {number} of {path}"
    own = _variables(item, place)
    if not own.get("TIDEGATE_STREAM_INPUT") and not defaults.get("TIDEGATE_STREAM_INPUT"):
        raise InvalidSetting(f"{place} has no input", remedy="add the topic that it reads")
    name = name or defaults["TIDEGATE_STREAM_INPUT"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidSetting(f"{place}: name is {name!r}", remedy="use letters, digits, dots, dashes and underscores")
    return Entry(place=place, name=name, layers=(defaults, own))


def _variables(item: Any, place: str) -> dict[str, str]:
    if not isinstance(item, dict):
        raise InvalidSetting(f"{place} is not a map", remedy="write settings as keys with values")
    known, found = _known(), {}
    for key, value in item.items():
        if key not in known:
            raise InvalidSetting(
                f"{place} has the unknown key {key!r}", remedy=f"use some of {', '.join(sorted(known.keys() - {'kafka_password'}))}"
            )
        if not isinstance(value, str):
            raise InvalidSetting(f"{place}: {key} is a {'list' if isinstance(value, list) else 'map'}", remedy="set one value")
        found[known[key]] = value
    if found.get(_PASSWORD):
        raise InvalidSetting(f"{place} has a kafka_password", remedy="write the password into a file, and set kafka_password_file to it")
    if "@" in found.get(_REGISTRY, "").partition("//")[2].partition("/")[0]:
        raise InvalidSetting(
            f"{place}: schema_registry has credentials", remedy="write them into a file, and set schema_registry_credentials_file to it"
        )
    return found


def _merged(layers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the variables of all layers, of which later ones override earlier ones."""
    merged: dict[str, str] = {}
    for layer in layers:
        for address, prefix in _CREDENTIALS.items():
            if address in layer and layer[address] != merged.get(address):
                merged = {name: value for name, value in merged.items() if not name.startswith(prefix)}
        if layer.get(f"{_PASSWORD}_FILE"):
            merged.pop(_PASSWORD, None)
        merged |= layer
    return merged


def _settings(entry: Entry, environ: Environ) -> StreamSettings:
    variables = _merged((environ, *entry.layers))
    sink, base = variables.get(_SINK, ""), environ.get(_SINK) or ""
    if sink == base and is_url(base) and urlsplit(base).path in {"", "/"}:
        # The router itself, which has no events at its root.
        raise InvalidSetting(f"{entry.place} has no sink, and K_SINK is a host without a path", remedy="set sink, such as /models/NAME")
    if sink.startswith("/"):
        if not base:
            raise InvalidSetting(
                f"{entry.place}: sink is {redact_url(sink)!r}, a path, and K_SINK is not set", remedy="set a URL, or K_SINK"
            )
        variables[_SINK] = urljoin(base, sink)
    try:
        return StreamSettings.from_env(variables)
    except InvalidSetting as error:

        def shown(text: str) -> str:
            # A variable of the environment keeps its name.
            return _VARIABLE.sub(lambda match: match[0] if match[0] in environ and not _has(entry, match[0]) else key_of(match[0]), text)

        raise InvalidSetting(f"{entry.place}: {shown(error.message)}", remedy=shown(error.remedy)) from None


def _has(entry: Entry, variable: str) -> bool:
    return any(variable in layer for layer in entry.layers)


def _check_unique(values: Sequence[str], key: str, path: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise InvalidSetting(f"{path} has two streams with the {key} {value!r}", remedy=f"give each its own {key}")
