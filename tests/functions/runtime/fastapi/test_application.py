# No `from __future__ import annotations`: FastAPI resolves the annotations of handlers, which are local names here.
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, WebSocketDisconnect
from fastapi.testclient import TestClient

from functions.runtime.errors import InvalidModel
from functions.runtime.fastapi import ApiKey, Application, create_app

ROW = {"age": 40, "income (EUR)": 10.5, "sector": "public", "member": True}
V1 = "/v1/models/price:predict"
PRICES = {"instances": [{"area": 0.5, "rooms": 0.25}]}
KEY = "k" * 32


@pytest.fixture
def app(models: Path) -> Application:
    return create_app(models)


@pytest.fixture
def price(models: Path) -> Application:
    return create_app(models / "price")


def test_the_models_are_served_by_every_protocol(app: Application) -> None:
    with TestClient(app) as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/v2/models").json() == {"models": ["loans", "price"]}
        (prediction,) = client.post(V1, json=PRICES).json()["predictions"]
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 0.25]}
        assert client.post("/v2/models/price/infer", json={"inputs": [tensor]}).json()["outputs"][0]["data"] == [prediction]
        event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "asked"}
        assert client.post("/models/price", headers=event, json=PRICES["instances"][0]).json() == {"price": prediction}
        assert client.get("/metrics").status_code == 200


def test_errors_of_the_function_are_unchanged(app: Application) -> None:
    with TestClient(app) as client:
        assert client.post("/v1/models/prise:predict", json=PRICES).status_code == 404
        assert "this function serves loans, price" in client.post("/v1/models/prise:predict", json=PRICES).json()["error"]
        assert client.get("/nothing").json() == {"error": "no route for /nothing."}
        assert client.post(V1, json={}).status_code == 400
        assert client.get(V1).status_code == 405


def test_websocket_without_a_route_is_closed(app: Application) -> None:
    with TestClient(app) as client, pytest.raises(WebSocketDisconnect), client.websocket_connect("/nothing"):
        pass


def test_added_route_predicts_in_the_process(app: Application) -> None:
    loans = app.models["loans"]

    @app.post("/loans/checked")
    async def checked(row: loans.request_type) -> loans.response_type:  # type: ignore[name-defined]
        return await loans.predict(row)

    with TestClient(app) as client:
        expected = client.post("/v1/models/loans:predict", json={"instances": [ROW]}).json()["predictions"][0]
        answer = client.post("/loans/checked", json=ROW)
        assert (answer.status_code, answer.json()) == (200, expected)
        assert client.post("/loans/checked", json={**ROW, "age": 12}).status_code == 422


async def test_predict_takes_mappings_and_many_rows(app: Application) -> None:
    price = app.models["price"]
    one = await price.predict(PRICES["instances"][0])
    assert await price.predict_many(PRICES["instances"] * 3) == [one] * 3
    assert await price.predict(price.request_type(area=0.5, rooms=0.25)) == one


def test_uncaught_error_of_a_handler_is_answered_by_the_function(price: Application) -> None:
    @price.get("/wrong")
    async def wrong() -> Any:
        return await price.model.predict({"area": "wide", "rooms": 2})

    with TestClient(price) as client:
        answer = client.get("/wrong")
        assert answer.status_code == 400
        assert "area" in answer.json()["error"]


def test_model_property_requires_a_single_model(app: Application, price: Application) -> None:
    assert price.model.name == "price"
    with pytest.raises(InvalidModel, match="loans, price; name one"):
        _ = app.model


def test_dependencies_apply_to_models_and_added_routes_only(models: Path) -> None:
    app = create_app(models, dependencies=[Depends(ApiKey({"shop": KEY}))])

    @app.get("/own")
    def own() -> str:
        return "own"

    with TestClient(app) as client:
        known = {"x-api-key": KEY}
        for path in ("/own", "/v2/models", "/v2/models/price"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=known).status_code == 200
        assert client.post(V1, json=PRICES).status_code == 401
        assert client.post(V1, json=PRICES, headers=known).status_code == 200
        for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
            assert client.get(path).status_code == 200
        # Paths outside of the route table do not reach a model without a key either.
        for path in ("/v1/models/price:predict/", "/v1/models/prise:predict", "/v2/models/price/versions/9/infer"):
            assert client.post(path, json=PRICES, follow_redirects=False).status_code in (307, 401)


def test_dependency_may_read_the_body_first(models: Path) -> None:
    seen: list[bytes] = []

    async def signed(request: Request) -> None:
        seen.append(await request.body())

    app = create_app(models, dependencies=[Depends(signed)])
    with TestClient(app) as client:
        assert client.post(V1, json=PRICES).status_code == 200
    assert b"instances" in seen[0]


def test_tenants_reach_handlers_and_may_be_overridden_in_tests(models: Path) -> None:
    def tenant() -> str:
        raise HTTPException(403, "no tenant")

    app = create_app(models, dependencies=[Depends(tenant)])

    @app.get("/who")
    def who(name: Annotated[str, Depends(tenant)]) -> str:
        return name

    with TestClient(app) as client:
        assert client.post(V1, json=PRICES).json() == {"detail": "no tenant"}
        app.dependency_overrides[tenant] = lambda: "acme"
        assert client.get("/who").json() == "acme"
        assert client.post(V1, json=PRICES).status_code == 200


def test_middleware_applies_to_the_models_routes(price: Application) -> None:
    @price.middleware("http")
    async def stamped(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-team"] = "pricing"
        return response

    with TestClient(price) as client:
        answer = client.post(V1, json=PRICES)
        assert (answer.status_code, answer.headers["x-team"]) == (200, "pricing")


def test_exception_handlers_lifespan_and_background_tasks_are_fastapi_s(models: Path) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        order.append("started")
        yield {"shop": "corner"}
        order.append("stopped")

    app = create_app(models, lifespan=lifespan, title="Shop")

    @app.exception_handler(LookupError)
    async def missing(_: Request, error: Exception) -> Response:
        return Response(str(error), 410)

    @app.get("/sold/{item}")
    def sold(item: str, request: Request, later: BackgroundTasks) -> str:
        if item == "none":
            raise LookupError("sold out")
        later.add_task(order.append, item)
        return str(request.state.shop)

    with TestClient(app) as client:
        assert client.get("/sold/hat").json() == "corner"
        assert client.get("/sold/none").text == "sold out"
    assert order == ["started", "hat", "stopped"]


def test_document_has_all_operations_with_their_security(models: Path) -> None:
    app = create_app(models, dependencies=[Depends(ApiKey({"shop": KEY}))])
    request_type: Any = app.models["loans"].request_type

    @app.post("/loans/checked")
    async def checked(row: request_type) -> str:
        return str(row)

    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
        paths = document["paths"]
        assert {"/loans/checked", V1, "/v2/models/loans/infer"} <= paths.keys()
        assert paths[V1]["post"]["security"] == [{"ApiKey": []}]
        assert "security" not in paths["/v2/health/live"]["get"]
        assert paths["/loans/checked"]["post"]["security"] == [{"ApiKey": []}]
        assert document["components"]["securitySchemes"]["ApiKey"] == {"type": "apiKey", "in": "header", "name": "x-api-key"}
        assert document["components"]["schemas"]["LoansRequest"]["properties"]["sector"]["enum"] == ["private", "public"]
        assert "swagger" in client.get("/docs", headers={"x-api-key": KEY}).text.lower()
