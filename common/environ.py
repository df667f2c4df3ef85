"""Settings from environment variables. Each value is checked where it is read; errors name the variable."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import InvalidSetting
from common.redaction import redact_url

Environ = Mapping[str, str]


def required(environ: Environ, name: str) -> str:
    """Return the value of a variable. Raises InvalidSetting when it is missing or empty."""
    value = environ.get(name)
    if not value:
        raise InvalidSetting(f"{name} is not set", remedy="set it in the environment of the process")
    return value


def number(environ: Environ, name: str, default: float, *, least: float = 0.0, most: float | None = None) -> float:
    """Return a number between `least` and `most`, both included; the default when the variable is missing or empty.

    Raises InvalidSetting.
    """
    value = environ.get(name)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found < float("inf") or (most is not None and found > most):
        bounds = f"of at least {least:g}" if most is None else f"from {least:g} to {most:g}"
        raise InvalidSetting(f"{name} is {value!r}", remedy=f"set a number {bounds}")
    return found


def integer(environ: Environ, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """Return an integer between `least` and `most`, both included; the default when the variable is missing or empty.

    Raises InvalidSetting.
    """
    found = number(environ, name, default, least=least, most=most)
    if found != int(found):
        raise InvalidSetting(f"{name} is {environ[name]!r}", remedy="set an integer")
    return int(found)


def one_of(environ: Environ, name: str, default: str, choices: Collection[str]) -> str:
    """Return one of the choices; the default when the variable is missing or empty. Raises InvalidSetting."""
    value = environ.get(name) or default
    if value not in choices:
        raise InvalidSetting(f"{name} is {value!r}", remedy=f"set one of {', '.join(choices)}")
    return value


def url(environ: Environ, name: str) -> str | None:
    """Return an HTTP URL; None when the variable is missing or empty. Raises InvalidSetting."""
    value = environ.get(name)
    if value and not is_url(value):
        raise InvalidSetting(f"{name} is {redact_url(value)!r}", remedy="set an http or https URL, such as http://sink.example.com/path")
    return value or None


def is_url(value: str) -> bool:
    """Return whether a value is an absolute HTTP URL."""
    from urllib.parse import urlsplit  # here, since a model function starts without it

    try:
        parts = urlsplit(value)
        (parts.hostname or "").encode("ascii" if value.isascii() else "idna")  # a host without such a form cannot be called
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def flag(environ: Environ, name: str, default: bool) -> bool:
    """Return a boolean, `true` or `false`; the default when the variable is missing or empty. Raises InvalidSetting."""
    return one_of(environ, name, str(default).lower(), ("true", "false")) == "true"
