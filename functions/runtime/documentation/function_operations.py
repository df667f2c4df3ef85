"""The operations for metadata, health and statistics of the function, and those that load and unload a model."""

from __future__ import annotations

from functions.runtime.documentation.building_blocks import JSON, Json, an_object, answer, array, body, errors, get, post

_TAG = "function"
_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}


def information() -> Json:
    """Return the operations of the function, by path."""
    about = an_object("name", "version", "extensions", name=_TEXT, version=_TEXT, extensions=array(_TEXT))
    names = an_object("models", models=array(_TEXT))
    alive = an_object("status", status={"const": "alive"})
    return {
        "/": _get("v1.alive", "Is the function alive? (V1)", answer(alive)),
        "/v2": _get("v2.server", "Name and extensions of the server", answer(about)),
        "/v2/health/live": _get("v2.live", "Is the function alive?", answer(an_object("live", live=_FLAG))),
        "/v2/health/ready": _get("v2.ready", "Can the function answer?", {**answer(an_object("ready", ready=_FLAG)), **errors(503)}),
        "/v2/models": _get("v2.models", "The models of the function", answer(names)),
        "/v2/models/stats": _get("v2.stats", "Statistics of each model, in Triton's format", answer({"type": "object"})),
        "/v1/models": _get("v1.models", "The models of the function (V1)", answer(names)),
        "/v2/repository/index": _index(),
        "/metrics": _get("metrics", "Metrics", _metrics()),
        "/openapi.json": _get("openapi", "This document", answer({"type": "object"})),
        "/schemas": _get("schemas", "The paths of the JSON Schemas of the events' data", answer(array(_TEXT))),
    }


def management(name: str) -> Json:
    """Return the operations that load and unload a model, by path."""
    path = f"/v2/repository/models/{name}"
    request = body({JSON: {"schema": {"type": "object", "description": "Without parameters."}, "example": {}}}, required=False)
    done = answer({"type": "object"})
    load = post(f"v2.load.{name}", name, f"Load {name} from its configured artifact", request, {**done, **errors(400, 404, 413, 500, 503)})
    unload = post(f"v2.unload.{name}", name, f"Unload {name}", None, {**done, **errors(404, 500)})
    return {f"{path}/load": load, f"{path}/unload": unload}


def _get(identifier: str, summary: str, responses: Json) -> Json:
    return get(identifier, _TAG, summary, {**responses, **errors(500)})


def _index() -> Json:
    request = body({JSON: {"schema": an_object(ready=_FLAG), "example": {}}}, required=False)
    entry = an_object("name", "state", name=_TEXT, version=_TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=_TEXT)
    return post("v2.index", _TAG, "The models and whether they are ready", request, {**answer(array(entry)), **errors(400, 413, 500)})


def _metrics() -> Json:
    kinds = ("text/plain", "application/openmetrics-text")
    return {"200": {"description": "For Prometheus.", "content": {kind: {"schema": _TEXT} for kind in kinds}}}
