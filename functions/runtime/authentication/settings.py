"""Which credentials a function asks for, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eventing.environ import required
from functions.runtime.authentication import api_keys
from functions.runtime.authentication.api_keys import ApiKeys

if TYPE_CHECKING:
    from functions.runtime.authentication.tokens import Tokens


def keys_from_env(environ: Mapping[str, str]) -> ApiKeys | None:
    """TIDEGATE_API_KEYS; None when it is not set. Raises InvalidSetting."""
    text = environ.get(api_keys.VARIABLE)
    return ApiKeys.parse(text) if text else None


def tokens_from_env(environ: Mapping[str, str]) -> Tokens | None:
    """TIDEGATE_JWKS_URL, with TIDEGATE_JWT_ISSUER and TIDEGATE_JWT_AUDIENCE; None when it is not set. Raises InvalidSetting."""
    url = environ.get("TIDEGATE_JWKS_URL")
    if not url:
        return None
    from functions.runtime.authentication.tokens import Tokens  # what it imports, a cold start without tokens need not pay for

    return Tokens(jwks_url=url, issuer=required(environ, "TIDEGATE_JWT_ISSUER"), audience=required(environ, "TIDEGATE_JWT_AUDIENCE"))
