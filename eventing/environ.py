"""Settings from environment variables: each value is checked where it is read, and complained about by the variable's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from eventing.errors import InvalidSetting

Environ = Mapping[str, str]


def required(environ: Environ, name: str) -> str:
    value = environ.get(name)
    if not value:
        raise InvalidSetting(f"{name} is not set; set it in the environment of the process.")
    return value


def number(environ: Environ, name: str, default: float, *, least: float = 0.0) -> float:
    """A number that is at least `least`; a variable that is empty counts as not set."""
    value = environ.get(name)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found < float("inf"):
        raise InvalidSetting(f"{name} is {value!r}; it must be a number of at least {least:g}.")
    return found


def whole(environ: Environ, name: str, default: int, *, least: int = 0) -> int:
    """A whole number, likewise."""
    found = number(environ, name, default, least=least)
    if found != int(found):
        raise InvalidSetting(f"{name} is {environ[name]!r}; it must be a whole number.")
    return int(found)


def one_of(environ: Environ, name: str, default: str, choices: Collection[str]) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise InvalidSetting(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value
