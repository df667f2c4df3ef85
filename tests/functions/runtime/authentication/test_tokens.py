from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from common.errors import InvalidSetting
from functions.runtime.authentication import tokens
from functions.runtime.authentication.tokens import Tokens
from functions.runtime.errors import NotReady, Unauthenticated


@pytest.fixture
def verifier(issuer: Any) -> Tokens:
    return Tokens(**issuer.settings)


async def test_valid_token_returns_its_claims_with_one_fetch_of_keys(issuer: Any, verifier: Tokens) -> None:
    for _ in range(3):
        assert (await verifier.claims(issuer.token()))["sub"] == "shop"
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "invalid bearer token"),
        ({"aud": "https://other.example.com"}, "is for another audience"),
        ({"aud": None}, "invalid bearer token"),
        ({"iss": "https://other.example.com"}, "invalid bearer token"),
        ({"nbf": 2**34}, "invalid bearer token"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(issuer: Any, verifier: Tokens, claims: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Unauthenticated, match=sentence):
        await verifier.claims(issuer.token(**claims))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "e30.e30.e30", "." * 10_000, "\x00"])
async def test_invalid_token_is_refused(issuer: Any, verifier: Tokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.claims(token)
    assert issuer.fetches == 0


async def test_shared_secret_and_missing_signature_are_refused(issuer: Any, verifier: Tokens) -> None:
    claims = {"iss": issuer.url, "aud": issuer.settings["audience"], "exp": time.time() + 600}
    for forged in (
        jwt.encode(claims, "", algorithm="none", headers={"kid": "first"}),
        jwt.encode(claims, "s" * 64, algorithm="HS256", headers={"kid": "first"}),
    ):
        with pytest.raises(Unauthenticated, match="unsupported signing algorithm"):
            await verifier.claims(forged)


async def test_other_key_with_a_known_identifier_is_refused(issuer: Any, verifier: Tokens) -> None:
    issuer.add_key("second")
    with pytest.raises(Unauthenticated, match="invalid bearer token"):
        await verifier.claims(issuer.token("first", signed_by="second"))


async def test_fetches_for_unknown_keys_are_rate_limited(issuer: Any, verifier: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    await verifier.claims(issuer.token())
    for number in range(20):  # as a stranger could try
        with pytest.raises(Unauthenticated, match="a key that its issuer does not publish"):
            await verifier.claims(issuer.token(f"unknown{number}"))
    assert issuer.fetches == 1
    monkeypatch.setattr(tokens, "_RETRY_SECONDS", 0.0)
    issuer.add_key("second")
    assert await verifier.claims(issuer.token("second", signed_by="second"))
    assert issuer.fetches == 2


async def test_known_keys_outlive_an_issuer_that_cannot_be_reached(issuer: Any, verifier: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_RETRY_SECONDS", 0.0)
    issuer.status = 503
    with pytest.raises(NotReady, match="cannot be fetched"):
        await verifier.claims(issuer.token())
    issuer.status = 200
    await verifier.claims(issuer.token())
    issuer.status = 503
    monkeypatch.setattr(tokens, "_FRESH_SECONDS", -1.0)
    assert await verifier.claims(issuer.token())
    monkeypatch.setattr(tokens, "_STALE_SECONDS", -1.0)
    with pytest.raises(NotReady):
        await verifier.claims(issuer.token())


async def test_a_redirect_of_the_keys_is_not_followed(issuer: Any, verifier: Tokens) -> None:
    issuer.status = 302
    with pytest.raises(NotReady):
        await verifier.claims(issuer.token())
    assert issuer.fetches == 1


@pytest.mark.parametrize("url", ["http://idp.example.com/keys", "file:///etc/passwd", "ftp://x/keys", "https:///keys", "keys"])
def test_unsafe_url_of_keys_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match="set an https URL"):
        Tokens(jwks_url=url, issuer="i", audience="a")


@pytest.mark.parametrize("url", ["https://idp.example.com/keys", "http://127.0.0.1/keys", "http://dex.auth.svc.cluster.local/keys"])
def test_url_of_keys_in_the_cluster_or_on_loopback_may_be_http(url: str) -> None:
    Tokens(jwks_url=url, issuer="i", audience="a")  # raises nothing
