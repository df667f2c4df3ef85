"""The settings of authentication, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from common.environ import required

if TYPE_CHECKING:
    from functions.runtime.authentication.api_keys import ApiKeys
    from functions.runtime.authentication.tokens import Tokens

API_KEYS = "TIDEGATE_API_KEYS"
_JWKS_URL = "TIDEGATE_JWKS_URL"


def is_required(environ: Mapping[str, str]) -> bool:
    """Return whether callers need a credential. If not, a cold start imports nothing else of this package."""
    return bool(environ.get(API_KEYS) or environ.get(_JWKS_URL))


def keys_from_env(environ: Mapping[str, str]) -> ApiKeys | None:
    """Read the keys of TIDEGATE_API_KEYS; None if it is not set. Raises InvalidSetting."""
    text = environ.get(API_KEYS)
    if not text:
        return None
    from functions.runtime.authentication.api_keys import ApiKeys

    return ApiKeys.parse(text)


def tokens_from_env(environ: Mapping[str, str]) -> Tokens | None:
    """Configure bearer tokens by environment variables; None without TIDEGATE_JWKS_URL.

    TIDEGATE_JWT_ISSUER and TIDEGATE_JWT_AUDIENCE are required with it. Raises InvalidSetting.
    """
    url = environ.get(_JWKS_URL)
    if not url:
        return None
    from functions.runtime.authentication.tokens import Tokens  # not imported without tokens

    return Tokens(jwks_url=url, issuer=required(environ, "TIDEGATE_JWT_ISSUER"), audience=required(environ, "TIDEGATE_JWT_AUDIENCE"))
