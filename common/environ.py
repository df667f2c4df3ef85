"""Settings from environment variables: each value is checked where it is read, and complained about by the variable's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import InvalidSetting

Environ = Mapping[str, str]


def required(environ: Environ, name: str) -> str:
    value = environ.get(name)
    if not value:
        raise InvalidSetting(f"{name} is not set; set it in the environment of the process.")
    return value


def number(environ: Environ, name: str, default: float, *, least: float = 0.0, most: float | None = None) -> float:
    """A number that is at least `least` and at most `most`; a variable that is empty counts as not set."""
    value = environ.get(name)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found < float("inf") or (most is not None and found > most):
        bounds = f"at least {least:g}" if most is None else f"{least:g} to {most:g}"
        raise InvalidSetting(f"{name} is {value!r}; it must be a number of {bounds}.")
    return found


def whole(environ: Environ, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """A whole number, likewise."""
    found = number(environ, name, default, least=least, most=most)
    if found != int(found):
        raise InvalidSetting(f"{name} is {environ[name]!r}; it must be a whole number.")
    return int(found)


def one_of(environ: Environ, name: str, default: str, choices: Collection[str]) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise InvalidSetting(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


def flag(environ: Environ, name: str, default: bool) -> bool:
    """`true` or `false`."""
    return one_of(environ, name, str(default).lower(), ("true", "false")) == "true"
