"""Dependencies that require a credential: `Depends(ApiKey.from_env())`, `Depends(BearerToken(…))`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Request
from fastapi.requests import HTTPConnection
from fastapi.security import APIKeyHeader, HTTPBearer

from common.environ import required
from common.errors import TidegateError
from functions.runtime.authentication import api_keys
from functions.runtime.authentication.api_keys import ApiKeys
from functions.runtime.authentication.settings import API_KEYS
from functions.runtime.authentication.tokens import Tokens
from functions.runtime.errors import sentence_of, status_of


class ApiKey(APIKeyHeader):
    """Requires an API key in the header `x-api-key`. A handler receives the name of the caller."""

    def __init__(self, keys: Mapping[str, str] | ApiKeys) -> None:
        """`keys` are by caller's name, each of at least 22 characters. Raises InvalidSetting."""
        super().__init__(name=api_keys.HEADER, scheme_name="ApiKey", auto_error=False)
        self._keys = keys if isinstance(keys, ApiKeys) else ApiKeys(keys)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ApiKey:
        """Read the keys of TIDEGATE_API_KEYS. Raises InvalidSetting."""
        return cls(ApiKeys.parse(required(environ, API_KEYS)))

    async def __call__(self, request: HTTPConnection) -> str:
        try:
            return self._keys.caller(await super().__call__(request))
        except TidegateError as error:
            raise _refusal(error, "ApiKey") from None


class BearerToken(HTTPBearer):
    """Requires a JSON Web Token in the header `authorization`. A handler receives its claims."""

    def __init__(self, *, jwks_url: str, issuer: str, audience: str) -> None:
        """`jwks_url` is the URL of the issuer's keys (RFC 7517). Raises InvalidSetting."""
        super().__init__(bearerFormat="JWT", scheme_name="BearerToken", auto_error=False)
        self._tokens = Tokens(jwks_url=jwks_url, issuer=issuer, audience=audience)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> BearerToken:
        """Read TIDEGATE_JWKS_URL, TIDEGATE_JWT_ISSUER and TIDEGATE_JWT_AUDIENCE. Raises InvalidSetting."""
        return cls(
            jwks_url=required(environ, "TIDEGATE_JWKS_URL"),
            issuer=required(environ, "TIDEGATE_JWT_ISSUER"),
            audience=required(environ, "TIDEGATE_JWT_AUDIENCE"),
        )

    async def __call__(self, request: Request) -> dict[str, Any]:  # type: ignore[override]
        try:
            credentials = await super().__call__(request)
            return await self._tokens.claims(credentials.credentials if credentials else "")
        except TidegateError as error:
            raise _refusal(error, "Bearer") from None


def _refusal(error: TidegateError, challenge: str) -> HTTPException:
    status = status_of(error)
    return HTTPException(status, sentence_of(error), {"WWW-Authenticate": challenge} if status == 401 else None)
