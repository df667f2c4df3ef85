"""Redaction of credentials in logs, errors and dead letters: user information of URLs, and secret parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from urllib.parse import unquote_plus

HIDDEN = "***"

# Parts of names whose values are secrets in any text: `password=…`, `X-Amz-Signature=…`, `access_token=…`.
_SECRET = "token|secret|passw|pwd|passphrase|credential|signature|authorization|jwt|x-amz-|x-goog-"  # noqa: S105 a pattern
_SECRET += r"|(api|access|private)[-_]?key"
# A text without any of these holds no credential.
_SIGNS = ("=", "@", "earer", "asic", "EARER", "ASIC")
# Names of query parameters that are secrets in a query, and ordinary words elsewhere.
_SECRET_IN_QUERY = _SECRET + r"|^(sig|sas|key|pass|pw|auth|session(id)?|code|hmac|otp)$|[-_](key|sig|pass|auth)$"


def redact(text: str) -> str:
    """Return the text with `***` in place of credentials.

    Those are the user information of URLs (RFC 3986, section 3.2.1), the values of secret parameters in queries and
    fragments, values as in `password=…`, and HTTP credentials (`Bearer …`, `Basic …`). Parameters with unknown names
    are left: this is a safeguard for logs and errors, and does not make a text fit for publication.
    """
    if any(sign in text for sign in _SIGNS):
        for pattern, replacement in _patterns():
            text = pattern.sub(replacement, text)
    return text


def redact_url(value: str) -> str:
    """Redact a value that should be a URL or an address. Without a scheme, the part before an `@` is hidden too."""
    return redact(value) if "//" in value else redact(f"//{value}")[2:]


def _parameter(match: re.Match[str]) -> str:
    secret = _names(_SECRET_IN_QUERY).search(unquote_plus(match["name"]))
    return f"{match['before']}{match['name']}={HIDDEN if secret else match['value']}"


@cache
def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    """Return the patterns, compiled at the first use: a function that starts from zero logs no line that needs them."""
    end = r"""\s"'<>"""
    return [
        # A slash in a password changes the host of the URL, so all up to the @ is hidden unless a port follows the
        # colon.
        (re.compile(rf"//(?!\[)[^{end}/@:?#]{{0,200}}:(?!\d{{1,5}}(?:[/?#,{end}]|$))[^{end}]{{0,500}}@"), f"//{HIDDEN}@"),
        (re.compile(rf"//[^{end}/?#]{{0,500}}@"), f"//{HIDDEN}@"),
        # A URL that was handled as a path, or has no scheme; a name before a digest is an image.
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
