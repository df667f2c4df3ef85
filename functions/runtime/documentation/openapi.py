"""The OpenAPI 3.1 document of a function: every path is written out for the models that it serves, with an example that can be sent."""

from __future__ import annotations

from collections.abc import Sequence

from functions.runtime.documentation import bodies, events, models, schemas
from functions.runtime.documentation.described import Described
from functions.runtime.documentation.operations import (
    JSON,
    Json,
    an_object,
    answer,
    array,
    body,
    components,
    errors,
    get,
    post,
)

SCHEMA_MEDIA_TYPE = "application/schema+json"
_SERVER = "function"
_ABOUT = (
    "A Tidegate function. Rows come by the Open Inference Protocol (V2, with binary tensors), by V1, or as CloudEvents; every error of a"
    ' call is `{"error": "<one sentence>"}`, every error of an event a problem (RFC 9457).'
)
_TEXTS = array({"type": "string"})


def document(described: Sequence[Described], *, management: bool = False) -> Json:
    """Of versions of models, those of one name side by side and first the one that answers where no version is named.

    `management` is whether models may be loaded and unloaded here.
    """
    shared = components()
    paths: Json = {}
    for name, versions in by_name(described).items():
        keys = [_component(shared["schemas"], model) for model in versions]
        paths |= _of_model(name, versions, keys)
        if management:
            paths |= _management(name)
    if len(by_name(described)) == 1:
        paths["/"] = events.operation(versions[0], keys[0], "/")
    return {
        "openapi": "3.1.0",
        "info": {"title": ", ".join(by_name(described)), "version": described[0].card.version or "0", "description": _ABOUT},
        "tags": [
            *({"name": name, "description": versions[0].card.description} for name, versions in by_name(described).items()),
            {"name": _SERVER},
        ],
        "paths": paths | _of_server() | {path: _schema_path(path) for path in schema_documents(described)},
        "components": shared,
    }


def schema_documents(described: Sequence[Described]) -> dict[str, Json]:
    """The JSON Schemas of the models' events by the path that they are served at."""
    found: dict[str, Json] = {}
    for name, versions in by_name(described).items():
        for folder, model in _folders(f"/schemas/{name}", versions):
            found |= schemas.documents(model, folder)
    return found


def by_name(described: Sequence[Described]) -> dict[str, list[Described]]:
    found: dict[str, list[Described]] = {}
    for model in described:
        found.setdefault(model.card.name, []).append(model)
    return found


def _folders(path: str, versions: Sequence[Described]) -> list[tuple[str, Described]]:
    """The model without a version, and each that has one."""
    return [(path, versions[0]), *((f"{path}/versions/{model.card.version}", model) for model in versions if model.card.version)]


def _of_model(name: str, versions: Sequence[Described], keys: Sequence[str]) -> Json:
    key_of = {id(model): key for model, key in zip(versions, keys, strict=True)}
    paths: Json = {}
    for path, model in _folders(f"/v2/models/{name}", versions):
        paths |= models.v2(model, key_of[id(model)], path, path.removeprefix("/v2/models/").replace("/", "."))
    paths[f"/models/{name}"] = events.operation(versions[0], keys[0], f"/models/{name}")
    return paths | models.v1(versions[0], keys[0])


def _component(known: Json, model: Described) -> str:
    """Adds the schemas of a model to the known ones; returns what their names begin with."""
    key = model.title.replace(" ", "-")
    while f"{key}.V2Request" in known:
        key += "_"
    known |= {
        f"{key}.V2Request": bodies.v2_request(model),
        f"{key}.V2Response": bodies.v2_response(model),
        f"{key}.V1Request": bodies.v1_request(model),
        f"{key}.V1Response": bodies.v1_response(model),
        f"{key}.EventRequest": schemas.request(model),
        f"{key}.EventResponse": schemas.response(model),
    }
    return key


def _of_server() -> Json:
    alive = an_object(live={"type": "boolean"}, ready={"type": "boolean"})
    about = an_object("name", "version", "extensions", name={"type": "string"}, version={"type": "string"}, extensions=_TEXTS)
    names = an_object("models", models=_TEXTS)
    state = an_object(
        "name", "state", name={"type": "string"}, version={"type": "string"}, state={"type": "string"}, reason={"type": "string"}
    )
    wanted = body({JSON: {"schema": an_object(ready={"type": "boolean"}), "example": {}}}, required=False)
    text = {"200": {"description": "Prometheus metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    return {
        "/v2": get("v2.server", _SERVER, "Name and extensions of the server", {**answer(about), **errors(500)}),
        "/v2/health/live": get("v2.live", _SERVER, "Is the function alive?", {**answer(alive), **errors(500)}),
        "/v2/health/ready": get("v2.ready", _SERVER, "Can the function answer?", {**answer(alive), **errors(500, 503)}),
        "/v2/models": get("v2.models", _SERVER, "The models of the function", {**answer(names), **errors(500)}),
        "/v1/models": get("v1.models", _SERVER, "The models of the function (V1)", {**answer(names), **errors(500)}),
        "/v2/repository/index": post(
            "v2.index", _SERVER, "The models and whether they are ready", wanted, {**answer(array(state)), **errors(400, 413, 500)}
        ),
        "/metrics": get("metrics", _SERVER, "Metrics", {**text, **errors(500)}),
        "/schemas": get("schemas", _SERVER, "Where the JSON Schemas of the events' data are", {**answer(_TEXTS), **errors(500)}),
        "/openapi.json": get("openapi", _SERVER, "This document", {**answer({"type": "object"}), **errors(500)}),
    }


def _management(name: str) -> Json:
    path = f"/v2/repository/models/{name}"
    wanted = body({JSON: {"schema": {"type": "object", "description": "Without parameters."}, "example": {}}}, required=False)
    done = answer({"type": "object"})
    load = post(f"v2.load.{name}", name, f"Load {name} as it is configured", wanted, {**done, **errors(400, 404, 413, 500, 503)})
    unload = post(f"v2.unload.{name}", name, f"Unload {name}", None, {**done, **errors(404, 500)})
    return {f"{path}/load": load, f"{path}/unload": unload}


def _schema_path(path: str) -> Json:
    identifier = path.removeprefix("/").removesuffix(".json").replace("/", ".")
    return get(
        identifier, _SERVER, "JSON Schema of an event's data", {**answer({"type": "object"}, media_type=SCHEMA_MEDIA_TYPE), **errors(500)}
    )
