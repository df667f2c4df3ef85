from __future__ import annotations

from array import array
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import NotAllowed, UnknownModel
from functions.runtime.http.asgi import Message
from functions.runtime.http.routes import Route, Routes
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.metrics import Metrics

CARD = Card("little", (Input("a", "FP32"),), (Output("y"),), Artifact("none"), version="2")
PATHS = {
    "/v2/models/{}": "/v2/models/{model}",
    "/v2/models/{}/ready": "/v2/models/{model}/ready",
    "/v2/models/{}/infer": "/v2/models/{model}/infer",
    "/v2/models/{}/versions/2": "/v2/models/{model}/versions/{version}",
    "/v2/models/{}/versions/2/ready": "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{}/versions/2/infer": "/v2/models/{model}/versions/{version}/infer",
    "/v2/models/{}/config": "/v2/models/{model}/config",
    "/v2/models/{}/stats": "/v2/models/{model}/stats",
    "/v2/models/{}/versions/2/config": "/v2/models/{model}/versions/{version}/config",
    "/v2/models/{}/versions/2/stats": "/v2/models/{model}/versions/{version}/stats",
    "/v1/models/{}:explain": "/v1/models/{model}:explain",
    "/v1/models/{}": "/v1/models/{model}",
    "/v1/models/{}:predict": "/v1/models/{model}:predict",
    "/models/{}": "/models/{model}",
    "/v2/repository/models/{}/load": "/v2/repository/models/{model}/load",
    "/v2/repository/models/{}/unload": "/v2/repository/models/{model}/unload",
}


class Same:
    signature = Signature(1)

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", values), ())


def routes_of(*names: str, control: bool = True) -> Routes:
    cards = [replace(CARD, name=name) for name in names]
    models = [Loaded(card, Encoder(card, card.columns), Same(), resolve(card, Same.signature), Path("none")) for card in cards]
    metrics = Metrics()
    return Routes(DataPlane([(model, partial(loaded, model)) for model in models], metrics, control=control), metrics)


def loaded(model: Loaded) -> Loaded:
    return model


async def no_body() -> Message:
    return {"type": "http.request", "body": b""}


@pytest.fixture
def routes() -> Routes:
    return routes_of("little")


def found(routes: Routes, path: str) -> Route:
    route = routes.find(path)
    assert route is not None, path
    return route


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("name", ["big", "{}", "{model}", ":predict", "infer", "versions", "x\ny", " "])
@pytest.mark.parametrize("path", PATHS)
def test_unknown_model_has_the_routes_of_a_known_one(path: str, name: str, end: str, routes: Routes) -> None:
    before = dict(routes.table)
    unknown, known = found(routes, path.format(name) + end), found(routes, path.format("little") + end)
    assert unknown.pattern == known.pattern == PATHS[path]
    assert (unknown.protocol, unknown.infer, unknown.allow) == (known.protocol, known.infer, known.allow)
    with pytest.raises(UnknownModel, match="not found; this function serves"):
        unknown.entry()
    assert known.entry().name == "little"
    assert routes.table == before


@pytest.mark.parametrize("end", ["", "/ready", "/infer"])
def test_unknown_version_is_not_found(end: str, routes: Routes) -> None:
    route = found(routes, f"/v2/models/little/versions/9{end}")
    assert route.pattern == f"/v2/models/{{model}}/versions/{{version}}{end}"
    with pytest.raises(UnknownModel, match="version '9' of the model little not found"):
        route.entry()


@pytest.mark.parametrize("path", ["/v2/models/big", "/v2/repository/models/big/load", "/v2/repository/models/big/unload"])
async def test_handler_of_an_unknown_model_raises_unknown_model(path: str, routes: Routes) -> None:
    (handler,) = found(routes, path).handlers.values()
    with pytest.raises(UnknownModel, match="model 'big' not found"):
        await handler({}, no_body)


@pytest.mark.parametrize(
    "path",
    [
        "/models",
        "/models//",
        "/models/big/infer",
        "/models/big/versions/2",
        "/v1/models/big/infer",
        "/v1/models/big:predict/more",
        "/v1/models/big/versions/2",
        "/v2/models//infer",
        "/v2/models/big/load",
        "/v2/models/big/versions",
        "/v2/models/big/versions//infer",
        "/v2/models/big/infer//",
        "/v2/models/big/infer/ready",
        "/v2/models/big/versions/2/load",
        "/v2/repository/models/big",
        "/v2/repository/models/big/infer",
        "/v2/repository/models/big/versions/2/load",
        "/v3/models/big",
        "/v1/v2/models/big",
    ],
)
def test_other_paths_have_no_route(path: str, routes: Routes) -> None:
    assert routes.find(path) is None


def test_event_without_a_model_is_refused_with_the_paths_of_models() -> None:
    with pytest.raises(UnknownModel, match="serves little, big; send the event to /models/ and one of these names"):
        found(routes_of("little", "big"), "/").entry()


@pytest.mark.parametrize("action", ["load", "unload"])
async def test_loading_is_refused_with_the_setting_that_allows_it(action: str) -> None:
    route = found(routes_of("little", control=False), f"/v2/repository/models/little/{action}")
    with pytest.raises(NotAllowed, match="not allowed; set TIDEGATE_MODEL_CONTROL=true"):
        await route.handlers["POST"]({}, no_body)
