"""Tokens and keys as FastAPI dependencies, and by settings in front of a plain application."""

# No `from __future__ import annotations`: FastAPI resolves the annotations of handlers, which are local names here.
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from functions.runtime.fastapi import BearerToken
from functions.runtime.http.asgi import Application
from functions.runtime.http.authentication import authenticated
from functions.runtime.main import _authenticated

KEY = "k" * 32


async def echo(_: Request) -> JSONResponse:
    return JSONResponse("served")


PLAIN = Starlette(routes=[Route("/v2/models/price", echo), Route("/v2/health/ready", echo)])


def environ_of(issuer: Any) -> dict[str, str]:
    settings = issuer.settings
    return {
        "TIDEGATE_JWKS_URL": settings["jwks_url"],
        "TIDEGATE_JWT_ISSUER": settings["issuer"],
        "TIDEGATE_JWT_AUDIENCE": settings["audience"],
    }


def client_of(app: Application) -> TestClient:
    return TestClient(app)


def test_handler_receives_the_claims(issuer: Any) -> None:
    app = FastAPI()
    token = BearerToken.from_env(environ_of(issuer))

    @app.get("/who")
    async def who(claims: Annotated[dict[str, Any], Depends(token)]) -> str:
        return str(claims["sub"])

    with TestClient(app) as client:
        answer = client.get("/who")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get("/who", headers={"authorization": "Bearer x"}).status_code == 401
        assert client.get("/who", headers={"authorization": f"Bearer {issuer.token()}"}).json() == "shop"


def test_configured_token_or_key_is_accepted(issuer: Any) -> None:
    client = client_of(authenticated(PLAIN, {**environ_of(issuer), "TIDEGATE_API_KEYS": f"shop:{KEY}"}))
    path = "/v2/models/price"
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"authorization": f"bearer {issuer.token()}"}).json() == "served"
    assert client.get(path, headers={"x-api-key": KEY}).json() == "served"
    assert client.get(path, headers={"authorization": f"Bearer {issuer.token(exp=1)}", "x-api-key": KEY}).status_code == 401
    assert client.get("/v2/health/ready").json() == "served"


def test_missing_keys_of_the_issuer_are_503(issuer: Any) -> None:
    issuer.status = 500
    client = client_of(authenticated(PLAIN, environ_of(issuer)))
    answer = client.get("/v2/models/price", headers={"authorization": f"Bearer {issuer.token()}"})
    assert answer.status_code == 503
    assert "cannot be fetched" in answer.json()["error"]


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "bearer ", "Bearer \xff"])
def test_other_credential_is_refused(issuer: Any, header: str) -> None:
    client = client_of(authenticated(PLAIN, environ_of(issuer)))
    assert client.get("/v2/models/price", headers={b"authorization": header.encode("latin-1")}).status_code == 401
    assert issuer.fetches == 0


def test_without_settings_the_application_is_left_as_it_is() -> None:
    assert _authenticated(PLAIN, {}) is PLAIN
