"""Requests in flight while their model is loaded or unloaded."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable
from typing import Any

import pytest

# This many rows are predicted in the model's threads.
ROWS = 64


@pytest.fixture(scope="module")
def managed(start_server: Callable[..., Any]) -> Any:
    return start_server(TIDEGATE_MODEL_CONTROL="true")


@pytest.mark.parametrize("changes", [["load"], ["unload"], ["unload", "load"]], ids="-".join)
def test_request_in_flight_is_answered_by_its_model(changes: list[str], managed: Any) -> None:
    asked = managed.binary("/v2/models/wide/infer", [("x", [ROWS, 30], "FP32", array("f", [0.5]).tobytes() * 30 * ROWS)])
    half = len(asked) // 2
    assert managed.ask(managed.request("/v2/repository/models/wide/load")).status == 200
    with contextlib.closing(managed.connect()) as connection:
        connection.send(asked[:half])
        while not managed.metric("tidegate_requests_in_flight"):
            pass
        for change in changes:
            assert managed.ask(managed.request(f"/v2/repository/models/wide/{change}")).status == 200
        connection.send(asked[half:])
        assert connection.reply().status == 200
    assert managed.ask(asked).status == (503 if changes[-1] == "unload" else 200)
