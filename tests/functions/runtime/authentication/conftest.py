from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "https://models.example.com"


class Issuer:
    """A real issuer of tokens: private keys, and a server that publishes their public keys."""

    def __init__(self) -> None:
        self.fetches = 0
        self.status = 200
        self._private: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.add_key("first")
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = issuer.published() if issuer.status == 200 else b""
                self.send_response(issuer.status)
                self.send_header("location", f"{issuer.url}/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        return {"jwks_url": f"{self.url}/keys", "issuer": self.url, "audience": AUDIENCE}

    def add_key(self, identifier: str) -> None:
        self._private[identifier] = ec.generate_private_key(ec.SECP256R1())

    def published(self) -> bytes:
        keys = []
        for identifier, private in self._private.items():
            key = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
            keys.append({**key, "kid": identifier, "use": "sig", "alg": "ES256"})
        return orjson.dumps({"keys": keys})

    def token(self, identifier: str = "first", *, signed_by: str = "first", **claims: Any) -> str:
        known = {"iss": self.url, "aud": AUDIENCE, "sub": "shop", "exp": time.time() + 600, **claims}
        present = {name: value for name, value in known.items() if value is not None}
        return jwt.encode(present, self._private[signed_by], algorithm="ES256", headers={"kid": identifier})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()
