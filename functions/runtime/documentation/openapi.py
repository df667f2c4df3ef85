"""The OpenAPI 3.1 document of a function, with the paths of its models written out and examples that can be sent."""

from __future__ import annotations

from collections.abc import Sequence

from functions.runtime.documentation import bodies, event_operations, function_operations, inference_operations, schemas
from functions.runtime.documentation.building_blocks import Json, answer, components, errors, get
from functions.runtime.documentation.model_spec import ModelSpec

SCHEMA_MEDIA_TYPE = "application/schema+json"
_ABOUT = (
    "A Tidegate function. It accepts rows in the Open Inference Protocol (V2, with binary tensors), in V1, and as CloudEvents. The error of"
    ' a call is `{"error": "<one sentence>"}`, that of an event is a problem (RFC 9457).'
)


def document(specs: Sequence[ModelSpec], *, management: bool = False) -> Json:
    """Make the document; versions of a model must be adjacent, with the one that answers by default first.

    `management` is whether callers may load and unload models.
    """
    shared = components()
    paths: Json = {}
    models_by_name = by_name(specs)
    for name, versions in models_by_name.items():
        keys = [_component(shared["schemas"], model) for model in versions]
        paths |= _of_model(name, versions, keys)
        if len(models_by_name) == 1:
            paths["/"] = event_operations.operation(versions[0], keys[0], "/")
        if management:
            paths |= function_operations.management(name)
    return {
        "openapi": "3.1.0",
        "info": {"title": ", ".join(models_by_name), "version": specs[0].card.version or "0", "description": _ABOUT},
        "tags": [{"name": name, "description": versions[0].card.description} for name, versions in models_by_name.items()],
        "paths": _joined(paths, function_operations.information()) | {path: _schema_path(path) for path in schema_documents(specs)},
        "components": shared,
    }


def _joined(paths: Json, others: Json) -> Json:
    """Merge operations by path; a path may have operations in both."""
    return paths | {path: paths.get(path, {}) | operations for path, operations in others.items()}


def schema_documents(specs: Sequence[ModelSpec]) -> dict[str, Json]:
    """Return the JSON Schemas of the models' events by their path."""
    found: dict[str, Json] = {}
    for name, versions in by_name(specs).items():
        found |= schemas.documents(versions[0], f"/schemas/{name}")
        for model in versions:
            if model.card.version:
                found |= schemas.documents(model, f"/schemas/{name}/versions/{model.card.version}")
    return found


def by_name(specs: Sequence[ModelSpec]) -> dict[str, list[ModelSpec]]:
    found: dict[str, list[ModelSpec]] = {}
    for model in specs:
        found.setdefault(model.card.name, []).append(model)
    return found


def _of_model(name: str, versions: Sequence[ModelSpec], keys: Sequence[str]) -> Json:
    """Return the operations of a model: the most used first, those of single versions last."""
    root = f"/v2/models/{name}"
    paths = inference_operations.v2(versions[0], keys[0], root, name) | inference_operations.v1(versions[0], keys[0])
    paths[f"/models/{name}"] = event_operations.operation(versions[0], keys[0], f"/models/{name}")
    for model, key in zip(versions, keys, strict=True):
        if model.card.version:
            path = f"versions/{model.card.version}"
            paths |= inference_operations.v2(model, key, f"{root}/{path}", f"{name}.{path.replace('/', '.')}")
    return paths


def _component(known: Json, model: ModelSpec) -> str:
    """Add the schemas of a model to the known ones; returns the prefix of their names."""
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


def _schema_path(path: str) -> Json:
    identifier = path.removeprefix("/").removesuffix(".json").replace("/", ".")
    done = answer({"type": "object"}, media_type=SCHEMA_MEDIA_TYPE)
    return get(identifier, "schemas", "JSON Schema of an event's data", {**done, **errors(500)})
