"""API keys: shared secrets, one per caller."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from common.errors import InvalidSetting
from functions.runtime.authentication.settings import API_KEYS
from functions.runtime.errors import Unauthenticated

HEADER = "x-api-key"
# The length of 128 random bits in Base64; shorter keys can be guessed.
_SHORTEST = 22


class ApiKeys:
    """The keys of the callers, each by the caller's name."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Raises InvalidSetting for a key that is too short; no message contains a key."""
        for name, key in keys.items():
            if len(key) < _SHORTEST:
                raise InvalidSetting(
                    f"the API key of {name!r} has {len(key)} characters",
                    remedy=f"use at least {_SHORTEST}, such as from `openssl rand -base64 24`",
                )
        self._digests = {name: _digest(key) for name, key in keys.items()}

    @classmethod
    def parse(cls, text: str) -> ApiKeys:
        """Parse the format of TIDEGATE_API_KEYS: `name:key`, separated by commas.

        Raises InvalidSetting, without showing a key.
        """
        keys: dict[str, str] = {}
        for position, entry in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            name, colon, key = entry.partition(":")
            if not colon or not name.strip() or name.strip() in keys:
                raise InvalidSetting(
                    f"entry {position} of {API_KEYS} has no unique name before its key", remedy="write name:key, separated by commas"
                )
            keys[name.strip()] = key.strip()
        if not keys:
            raise InvalidSetting(f"{API_KEYS} has no keys", remedy="write name:key, separated by commas, or leave it unset")
        return cls(keys)

    def caller(self, key: str | None) -> str:
        """Return the name of the caller with this key. Raises Unauthenticated."""
        if not key:
            raise Unauthenticated("the request has no API key", remedy=f"send one in the header {HEADER}")
        given = _digest(key)
        # Every key is compared, in a time that does not depend on how much of it matches.
        found = [name for name, digest in self._digests.items() if hmac.compare_digest(given, digest)]
        if not found:
            raise Unauthenticated(f"unknown API key in the header {HEADER}", remedy="send a valid one")
        return found[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
