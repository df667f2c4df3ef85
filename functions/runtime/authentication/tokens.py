"""Bearer tokens: JSON Web Tokens (RFC 7519), verified with the public keys of their issuer (RFC 7517).

PyJWT, of the extra `tidegate[auth]`, verifies them. It is imported only if tokens are configured.
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

# Only signatures with a private key: with HS256, a public key could be used as the shared secret (RFC 8725, section
# 2.1).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# The tolerated clock difference.
_LEEWAY_SECONDS = 30
# The age at which keys are fetched again; an issuer publishes a new key days before it signs with it.
_FRESH_SECONDS = 300.0
# The age up to which keys are trusted while the issuer cannot be reached.
_STALE_SECONDS = 3_600.0
# The shortest time between fetches for unknown key identifiers, since a stranger can invent them.
_RETRY_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0
_LARGEST = 2**20
_LOCAL = (".svc", ".svc.cluster.local", ".localhost")


class Tokens:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, *, jwks_url: str, issuer: str, audience: str) -> None:
        """The keys are fetched with the first token. Raises InvalidSetting for an unsafe URL, or without PyJWT."""
        _check_url(jwks_url)
        try:
            import jwt
        except ImportError:
            raise InvalidSetting("bearer tokens need PyJWT, which is not installed", remedy="install tidegate[auth]") from None
        self._jwt = jwt
        self._url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._keys: PyJWKSet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """Verify a token and return its claims.

        Raises Unauthenticated, and NotReady if the issuer's keys cannot be fetched.
        """
        try:
            header = self._jwt.get_unverified_header(token)
        except self._jwt.PyJWTError:
            raise Unauthenticated("the bearer token is not a JSON Web Token", remedy="send one of the configured issuer") from None
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated("unsupported signing algorithm of the bearer token", remedy=f"use one of {', '.join(ALGORITHMS)}")
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
            raise Unauthenticated("the bearer token has expired", remedy="send a new one") from None
        except self._jwt.InvalidAudienceError:
            raise Unauthenticated("the bearer token is for another audience", remedy="request one for this function") from None
        except (self._jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("invalid bearer token", remedy="send one that is signed by the configured issuer") from None
        return claims

    async def _key(self, identifier: Any) -> Any:
        if self._age() > _FRESH_SECONDS:
            await self._fetch()
        key = self._known(identifier)
        if key is None:
            await self._fetch()
            key = self._known(identifier)
        if key is None:
            raise Unauthenticated("the bearer token is signed with a key that its issuer does not publish", remedy="send a new one")
        return key

    def _known(self, identifier: Any) -> Any:
        if self._keys is None or self._age() > _STALE_SECONDS:
            raise NotReady("the keys of the bearer tokens' issuer cannot be fetched", remedy="retry later")
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
                log.warning("cannot fetch the issuer's keys from %s: %s; retrying with a later token", _shown(self._url), error)
            else:
                self._fetched_at = time.monotonic()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Rejects redirects: the operator has approved one address only."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _get(url: str) -> bytes:
    """Fetch the keys. Raises OSError."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({} if _is_loopback(url) else None))
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(f"the response has more than {_LARGEST} bytes")
    return content


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and (_is_loopback(url) or host.endswith(_LOCAL)):
        return
    raise InvalidSetting(
        f"TIDEGATE_JWKS_URL is {_shown(url)!r}",
        remedy="set an https URL, or an http URL on this machine or within the cluster (.svc)",
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _shown(url: str) -> str:
    """Return the URL without its parts that may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
