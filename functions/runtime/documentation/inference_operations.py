"""The operations of a model in the Open Inference Protocol (V2) and in V1."""

from __future__ import annotations

from functions.runtime.documentation import examples
from functions.runtime.documentation.building_blocks import (
    CALL_ERRORS,
    JSON,
    Json,
    an_object,
    answer,
    array,
    body,
    errors,
    get,
    post,
    ref,
)
from functions.runtime.documentation.model_spec import ModelSpec

_BINARY = "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"
_INFER = (
    f"The body is JSON, or, with the header `{_LENGTH}`, JSON of that length followed by the bytes of each tensor with the parameter"
    " `binary_data_size` (little-endian, row-major, in the order of the inputs). The parameter `binary_data_output` of the request,"
    " or `binary_data` of an output, requests binary data in the response."
)


def v2(model: ModelSpec, component: str, path: str, identifier: str) -> Json:
    """Return the V2 operations of a model by path.

    `path` is that of the model or of one version; `identifier` makes the operation ids unique.
    """
    tag, title = model.card.name, model.title
    ready = an_object("name", "ready", name={"const": model.card.name}, ready={"type": "boolean"})
    return {
        f"{path}/infer": _infer(model, component, identifier),
        path: get(f"v2.metadata.{identifier}", tag, f"Inputs and outputs of {title}", {**answer(_metadata(model)), **errors(404, 500)}),
        f"{path}/config": get(f"v2.config.{identifier}", tag, f"Configuration of {title}, in Triton's format", _any_object()),
        f"{path}/stats": get(f"v2.stats.{identifier}", tag, f"Statistics of {title}, in Triton's format", _any_object()),
        f"{path}/ready": get(f"v2.ready.{identifier}", tag, f"Is {title} ready?", {**answer(ready), **errors(404, 500, 503)}),
    }


def v1(model: ModelSpec, component: str) -> Json:
    """Return the V1 operations by path; V1 has no versions."""
    tag, name = model.card.name, model.card.name
    ready = an_object("name", "ready", name={"const": name}, ready={"type": "boolean"})
    content = {JSON: {"schema": ref("schemas", f"{component}.V1Request"), "examples": examples.v1(model.card)}}
    responses = {**answer(ref("schemas", f"{component}.V1Response")), **errors(404, *CALL_ERRORS)}
    return _v1_explain(model, content) | {
        f"/v1/models/{name}:predict": post(f"v1.predict.{name}", tag, "Predict rows (V1)", body(content), responses),
        f"/v1/models/{name}": get(f"v1.ready.{name}", tag, f"Is {name} ready? (V1)", {**answer(ready), **errors(404, 500, 503)}),
    }


def _any_object() -> Json:
    return {**answer({"type": "object"}), **errors(404, 500)}


def _v1_explain(model: ModelSpec, content: Json) -> Json:
    if all(item.meaning != "contributions" for item in model.outputs.all):
        return {}
    name = model.card.name
    done = answer(an_object("explanations", explanations=array({"type": ["object", "array"]})))
    summary = "Contributions of the features to the margin of each row (V1)"
    return {f"/v1/models/{name}:explain": post(f"v1.explain.{name}", name, summary, body(content), {**done, **errors(404, *CALL_ERRORS)})}


def _infer(model: ModelSpec, component: str, identifier: str) -> Json:
    response = ref("schemas", f"{component}.V2Response")
    content = {
        JSON: {"schema": ref("schemas", f"{component}.V2Request"), "examples": examples.v2(model)},
        _BINARY: {"schema": {"type": "string", "format": "binary"}},
    }
    length = {"description": "The length of the JSON part, if binary data follow it.", "schema": {"type": "integer", "minimum": 0}}
    done: Json = {
        "description": "The tensors, in the requested order.",
        "headers": {_LENGTH: length},
        "content": {JSON: {"schema": response}, _BINARY: {"schema": {"type": "string", "format": "binary"}}},
    }
    return post(
        f"v2.infer.{identifier}",
        model.card.name,
        f"Predict rows with {model.title} (Open Inference Protocol V2)",
        body(content),
        {"200": done, **errors(404, *CALL_ERRORS)},
        description=_INFER,
        parameters=[{"name": _LENGTH, "in": "header", **length}],
    )


def _metadata(model: ModelSpec) -> Json:
    tensor = an_object(
        "name",
        "datatype",
        "shape",
        name={"type": "string"},
        datatype={"type": "string"},
        shape=array({"type": "integer"}),
        parameters={"type": "object"},
    )
    return an_object(
        "name",
        "platform",
        "inputs",
        "outputs",
        name={"const": model.card.name},
        versions=array({"type": "string"}),
        platform={"type": "string"},
        inputs=array(tensor),
        outputs=array(tensor),
    )
