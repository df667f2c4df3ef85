"""Credentials taken out of text that people and other systems read: what is between `//` and `@` in a URL, and secret parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from urllib.parse import unquote_plus

HIDDEN = "***"

# Parts of names whose values are secrets wherever they stand: `password=…`, `X-Amz-Signature=…`, `access_token=…`.
_SECRET = "token|secret|passw|pwd|passphrase|credential|signature|authorization|jwt|x-amz-|x-goog-"  # noqa: S105 a pattern
_SECRET += r"|(api|access|private)[-_]?key"
# Without any of these there is nothing to hide.
_SIGNS = ("=", "@", "earer", "asic", "EARER", "ASIC")
# Names of a query's parameters that are secrets there, and ordinary words elsewhere.
_SECRET_IN_QUERY = _SECRET + r"|^(sig|sas|key|pass|pw|auth|session(id)?|code|hmac|otp)$|[-_](key|sig|pass|auth)$"


def redact(text: str) -> str:
    """The text with `***` in place of credentials: the user information of URLs (RFC 3986, section 3.2.1), the values of secret parameters
    in queries and fragments, those of `password=…` and its like, and HTTP credentials (`Bearer …`, `Basic …`).

    A name that is not known for a secret is left, so this guards what is printed and makes nothing fit to be published.
    """
    if any(sign in text for sign in _SIGNS):
        for pattern, replacement in _patterns():
            text = pattern.sub(replacement, text)
    return text


def redact_url(value: str) -> str:
    """A value that should be a URL or an address, and may be neither: without a scheme, what is before an `@` is hidden as well."""
    return redact(value) if "//" in value else redact(f"//{value}")[2:]


def _parameter(match: re.Match[str]) -> str:
    secret = _names(_SECRET_IN_QUERY).search(unquote_plus(match["name"]))
    return f"{match['before']}{match['name']}={HIDDEN if secret else match['value']}"


@cache
def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    """Made when they are first needed: a function that starts from zero logs a line that needs none."""
    end = r"""\s"'<>"""
    return [
        # A password with a slash makes another host of the URL, so all up to the @ is hidden unless a port follows the colon.
        (re.compile(rf"//(?!\[)[^{end}/@:?#]{{0,200}}:(?!\d{{1,5}}(?:[/?#,{end}]|$))[^{end}]{{0,500}}@"), f"//{HIDDEN}@"),
        (re.compile(rf"//[^{end}/?#]{{0,500}}@"), f"//{HIDDEN}@"),
        # Where a URL was taken for a path, or has no scheme; a name before a digest is an image.
        (re.compile(rf"(?<=[A-Za-z0-9]:)/(?!/)[^{end}/@:?#]{{0,200}}:[^{end}]{{0,500}}@"), f"/{HIDDEN}@"),
        (re.compile(rf"(?<![\w/@:.*-])[\w.+-]{{1,100}}:[^/@:{end}]{{1,200}}@(?!sha256:)"), f"{HIDDEN}@"),
        (
            re.compile(
                rf"(?P<before>[?&;#])(?P<name>[^=&;#?/{end}]{{1,200}})=(?P<value>[^&#{end}]*?)(?=[&#{end}]|;[^=&;#{end}]{{1,200}}=|$)"
            ),
            _parameter,
        ),
        (
            re.compile(rf"(?i)(?P<name>(?:^|[\s,'\"({{\[])[\w.-]{{0,60}}(?:{_SECRET})[\w.-]{{0,60}})=(?!\s)[^,&{end}]+"),
            rf"\g<name>={HIDDEN}",
        ),
        (re.compile(r"\b((?i:bearer|basic))(\s+|%20)(?=\S*[\d=A-Z])[\w.~+/=-]{8,}"), rf"\1\2{HIDDEN}"),
    ]
