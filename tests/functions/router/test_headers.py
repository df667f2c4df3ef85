from __future__ import annotations

import pytest

from functions.router.headers import forwarded


def test_headers_of_one_connection_are_not_forwarded() -> None:
    headers = [
        (b"Host", b"a"),
        (b"Connection", b"close, X-Own"),
        (b"x-own", b"1"),
        (b"Content-Length", b"3"),
        (b"CE-Id", b"7"),
        (b"a", b"1"),
    ]
    assert forwarded([*headers, (b"a", b"2")]) == [(b"ce-id", b"7"), (b"a", b"1"), (b"a", b"2")]


@pytest.mark.parametrize(
    "name",
    [
        *("Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-HTTP-Method-Override"),
        *("K-Passthrough-LB", "K-Network-Probe", "K-Proxy-Request", "Knative-Serving-Tag", "Knative-Serving-Revision"),
        *("X-Envoy-Original-Path", "X-Envoy-Retry-On"),
    ],
)
def test_headers_that_steer_the_platform_are_not_forwarded(name: str) -> None:
    assert forwarded([(name.encode(), b"1"), (b"x-forwarded-for", b"10.0.0.1")]) == [(b"x-forwarded-for", b"10.0.0.1")]
