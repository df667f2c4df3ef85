from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest

from functions.batch.client import Refused
from functions.runtime.errors import InvalidModel
from tidegate import contract

METADATA = {
    "inputs": [
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
        {"name": "seats", "datatype": "INT32", "shape": [-1], "parameters": {"optional": True}},
    ],
    "outputs": [{"name": "late", "datatype": "FP32", "shape": [-1, 1]}],
}


class Router(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/v2/models/flights"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(orjson.dumps(METADATA if known else {"error": "there is no such model."}))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def router() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Router) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_inputs_come_from_the_models_metadata(router: str) -> None:
    found = contract.of_model("flights", router)
    assert found == contract.Contract(model="flights", inputs={"carrier": "BYTES", "seats": "INT32"}, required=("carrier",))


def test_unknown_model_has_the_routers_message(router: str) -> None:
    with pytest.raises(Refused, match=r"there is no such model \(status 404\)"):
        contract.of_model("other", router)


@pytest.mark.parametrize(
    ("name", "card"), [("flights", False), ("flights.v1", False), ("a/b", True), ("model.yaml", True), ("x.yml", True)]
)
def test_path_of_a_card_is_distinguished_from_a_name(name: str, card: bool) -> None:
    assert contract.is_card(name) is card


def test_missing_card_is_named() -> None:
    with pytest.raises(InvalidModel, match=r"cannot read the model card nowhere/model.yaml"):
        contract.of_card(Path("nowhere/model.yaml"))
