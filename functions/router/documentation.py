"""The router's OpenAPI 3.1 document, and a page to try it.

It covers what is common to all models. The inputs and outputs of a model are in its own document, which the router
forwards (`/models/{model}/openapi.json`): a request for that one starts the model's function, one for this document
does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PAGE = Path(__file__).with_name("page.html")
# The page is one file with an inline script; it may load nothing else and call this server only.
PAGE_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
)

_JSON = "application/json"
_EVENT = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_ABOUT = (
    "The Tidegate router: it sends each request to a revision of its model, the same one for the same routing key, and"
    " splits batches of events, and rows with a key each. Every error of a call is"
    ' `{"error": "<one sentence>"}`, every error of an event a problem (RFC 9457).'
)
_ERRORS = {
    "400": "The request is invalid; the sentence says why.",
    "404": "Unknown model, or unknown version of it.",
    "413": "The request is too large; send several.",
    "429": "Too many requests; retry after Retry-After seconds.",
    "502": "The reply of a revision is invalid.",
    "503": "The model is not ready, or no revision is reachable; retry.",
    "504": "The revision timed out.",
}
_TENSOR: Json = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
_V2: Json = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        "parameters": {
            "type": "object",
            "properties": {
                "routing_keys": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "The routing key of each row, which determines its revision.",
                }
            },
        },
    },
}
_V1: Json = {"type": "object", "required": ["instances"], "properties": {"instances": {"type": "array"}}}
_EVENT_SCHEMA: Json = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        **{name: {"type": "string"} for name in ("id", "source", "type", "subject", "partitionkey", "routingkey", "tidegaterevision")},
        "specversion": {"const": "1.0"},
        "data": {},
    },
}
_EXAMPLE_EVENT: Json = {"specversion": "1.0", "id": "1", "source": "/example", "type": "example", "subject": "key-1", "data": {}}
_EXAMPLE_V2: Json = {"inputs": [{"name": "rows", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]}
_KEY: Json = {
    "name": "Tidegate-Routing-Key",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Requests with the same key go to the same revision.",
}
_REVISION: Json = {
    "name": "Tidegate-Revision",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The revision, or its tag, to send the request to (unless TIDEGATE_ALLOW_OVERRIDE is false).",
}


def document(models: Sequence[str]) -> Json:
    """The document, with the names of the current models."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", **({"enum": list(models)} if models else {})}}
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidegate router", "version": "2", "description": _ABOUT},
        "tags": [
            {"name": "models", "description": "Requests to a model."},
            {"name": "router", "description": "Information about the router."},
        ],
        "paths": _model_paths(model, version) | _router_paths(),
    }


def _model_paths(model: Json, version: Json) -> Json:
    v2, versioned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    infer = _body({_JSON: (_V2, _EXAMPLE_V2)})
    events = _body({_EVENT: (_EVENT_SCHEMA, _EXAMPLE_EVENT), _BATCH: ({"type": "array", "items": _EVENT_SCHEMA}, [_EXAMPLE_EVENT])})
    predict = _body({_JSON: (_V1, {"instances": [{}]})})
    paths = {
        f"{v2}/infer": {"post": _call("infer", "Predict rows (Open Inference Protocol V2)", model, body=infer)},
        f"{versioned}/infer": {
            "post": _call("inferVersion", "Predict rows with one version, by the revision that serves it", model, version, body=infer)
        },
        "/v1/models/{model}:predict": {"post": _call("predict", "Predict rows (V1)", model, body=predict)},
        "/models/{model}": {"post": _call("event", "Predict the data of a CloudEvent, or of each of a batch", model, body=events)},
        v2: {"get": _call("metadata", "Inputs and outputs of a model, and the versions of all its revisions", model)},
        versioned: {"get": _call("metadataVersion", "Inputs and outputs of one version", model, version)},
        f"{v2}/ready": {"get": _call("ready", "Is the model ready?", model)},
        f"{versioned}/ready": {"get": _call("readyVersion", "Is this version ready?", model, version)},
        "/v1/models/{model}": {"get": _call("readyV1", "Is the model ready? (V1)", model)},
    }
    paths["/models/{model}/openapi.json"] = {"get": _call("document", "The OpenAPI document of the model's function", model)}
    return paths


def _router_paths() -> Json:
    index = _body({_JSON: ({"type": "object", "properties": {"ready": {"type": "boolean"}}}, {})})
    return {
        "/v2/models": {"get": _information("models", "The models, and their revisions with percentages")},
        "/v1/models": {"get": _information("modelsV1", "The names of the models")},
        "/v2/repository/index": {
            "post": {**_information("index", "Every version of every model; the request starts those at zero"), "requestBody": index}
        },
        "/v2": {"get": _information("server", "Name and extensions of this server")},
        "/v2/health/live": {"get": _information("live", "Is the router alive?")},
        "/v2/health/ready": {"get": _information("routerReady", "Does the router know the models?")},
        "/metrics": {
            "get": {**_information("metrics", "Metrics in Prometheus' text format"), "responses": _ok("text/plain", {"type": "string"})}
        },
    }


def _call(identifier: str, summary: str, *parameters: Json, body: Json | None = None) -> Json:
    responses = _ok(_JSON, {}) | {status: {"description": description} for status, description in _ERRORS.items()}
    request = {} if body is None else {"requestBody": body}
    return {
        "operationId": identifier,
        "tags": ["models"],
        "summary": summary,
        "parameters": [*parameters, _KEY, _REVISION],
        **request,
        "responses": responses,
    }


def _information(identifier: str, summary: str) -> Json:
    return {"operationId": identifier, "tags": ["router"], "summary": summary, "responses": _ok(_JSON, {})}


def _ok(media_type: str, schema: Json) -> Json:
    return {"200": {"description": "Done.", "content": {media_type: {"schema": schema}}}}


def _body(content: dict[str, tuple[Json, Any]]) -> Json:
    return {
        "required": True,
        "content": {media_type: {"schema": schema, "example": example} for media_type, (schema, example) in content.items()},
    }
