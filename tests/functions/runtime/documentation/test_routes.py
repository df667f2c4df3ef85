from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from functions.runtime.artifacts import loading
from functions.runtime.documentation.application import build
from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.openapi import document
from functions.runtime.http.routes import Routes
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.metrics import Metrics

Serve = Callable[[bool], DataPlane]


@pytest.fixture
def serve(model: Path) -> Serve:
    loaded = loading.load(model)
    return lambda control: DataPlane([(loaded, lambda: loaded)], Metrics(), control=control)


@pytest.mark.parametrize("control", [True, False])
def test_document_has_exactly_the_routes_of_the_function(control: bool, serve: Serve) -> None:
    plane = serve(control)
    described = [ModelSpec(entry.card, entry.outputs, entry.nulls) for entry in plane.entries]
    documented = {(path, method.upper()) for path, item in document(described, management=control)["paths"].items() for method in item}
    served = {
        (path, method)
        for path, route in Routes(plane, Metrics()).table.items()
        if control or not path.startswith("/v2/repository/models/")
        for method in [*(["POST"] if route.infer else []), *route.handlers]
    }
    assert documented == served | {(path, "GET") for path in _paths(described)}


def _paths(described: list[ModelSpec]) -> list[str]:
    """The paths that FastAPI serves, except the page itself."""
    return [path for route in build(described).routes if (path := getattr(route, "path", "")) and not path.startswith("/docs")]
