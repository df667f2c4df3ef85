"""Bearer tokens: JSON Web Tokens (RFC 7519), verified by the public keys that their issuer publishes (RFC 7517).

PyJWT verifies them, in the extra `tidegate[auth]`. It is imported when a function is set up to use tokens, and never otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from common.errors import InvalidSetting
from functions.runtime.errors import NotReady, Unauthenticated

if TYPE_CHECKING:
    from jwt import PyJWKSet

log = logging.getLogger("tidegate.authentication")

# Only signatures by a private key: with a shared secret (HS256), a public key could be taken for one (RFC 8725, section 2.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# Clocks differ.
_LEEWAY_SECONDS = 30
# How old keys may be before they are fetched again; an issuer that rotates its keys publishes a new one days before it signs by it.
_FRESH_SECONDS = 300.0
# While the issuer cannot be reached, known keys are trusted for this long.
_STALE_SECONDS = 3_600.0
# An unknown key's identifier may be a new one, or anything that a stranger wrote: it leads to a fetch no more often than this.
_RETRY_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0
_LARGEST = 2**20
_LOCAL = (".svc", ".svc.cluster.local", ".localhost")


class Tokens:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, *, jwks_url: str, issuer: str, audience: str) -> None:
        """Nothing is fetched before the first token. Raises InvalidSetting for a URL that is not safe, or without PyJWT."""
        _check_url(jwks_url)
        try:
            import jwt
        except ImportError:
            raise InvalidSetting("bearer tokens need PyJWT, which is not installed; install tidegate[auth].") from None
        self._jwt = jwt
        self._url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._keys: PyJWKSet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """The claims of a valid token. Raises Unauthenticated, and NotReady when the issuer's keys cannot be had."""
        try:
            header = self._jwt.get_unverified_header(token)
        except self._jwt.PyJWTError:
            raise Unauthenticated("the bearer token is not a JSON Web Token; send one of the issuer's.") from None
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated(f"the bearer token is signed by an algorithm other than {', '.join(ALGORITHMS)}; send another one.")
        key = await self._key(header.get("kid"))
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except self._jwt.ExpiredSignatureError:
            raise Unauthenticated("the bearer token has expired; send a new one.") from None
        except self._jwt.InvalidAudienceError:
            raise Unauthenticated("the bearer token is for another audience; request one for this function.") from None
        except (self._jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("the bearer token is not valid; send one that the configured issuer signed.") from None
        return claims

    async def _key(self, identifier: Any) -> Any:
        if self._age() > _FRESH_SECONDS:
            await self._fetch()
        key = self._known(identifier)
        if key is None:
            await self._fetch()
            key = self._known(identifier)
        if key is None:
            raise Unauthenticated("the bearer token is signed by a key that its issuer does not publish; send a new one.")
        return key

    def _known(self, identifier: Any) -> Any:
        if self._keys is None or self._age() > _STALE_SECONDS:
            raise NotReady("the keys of the issuer of bearer tokens cannot be fetched; send the request again a little later.")
        keys = [key for key in self._keys.keys if key.public_key_use in (None, "sig")]
        if identifier is None:
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.key_id == identifier), None)

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    async def _fetch(self) -> None:
        async with self._fetching:
            if time.monotonic() - self._tried_at < _RETRY_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                self._keys = self._jwt.PyJWKSet.from_json((await asyncio.to_thread(_get, self._url)).decode())
            except (OSError, ValueError, self._jwt.PyJWTError) as error:
                log.warning("cannot fetch the issuer's keys from %s: %s; trying again with the next token", _shown(self._url), error)
            else:
                self._fetched_at = time.monotonic()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The operator named one address; where its server points to is not part of that."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _get(url: str) -> bytes:
    """Raises OSError."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({} if _is_loopback(url) else None))
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(f"the answer has more than {_LARGEST} bytes")
    return content


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and (_is_loopback(url) or host.endswith(_LOCAL)):
        return
    raise InvalidSetting(
        f"TIDEGATE_JWKS_URL is {_shown(url)!r}; name an https URL, or an http URL on this machine or within the cluster (.svc)."
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _shown(url: str) -> str:
    """The URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
