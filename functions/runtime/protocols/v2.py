"""The Open Inference Protocol, V2 REST.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from functions.runtime.contract.card import Card, Input
from functions.runtime.contract.categories import text_of
from functions.runtime.contract.checks import name_of
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import Outputs, OutputTensor, ServedOutput
from functions.runtime.errors import InvalidInput, TooLarge
from functions.runtime.protocols import bulk, tensors
from functions.runtime.protocols.body import parse_json
from functions.runtime.protocols.tensors import Tensor, parameters_of
from functions.runtime.protocols.timeout import timeout_of

if TYPE_CHECKING:
    from functions.runtime.protocols.model import ModelContract

EXTENSIONS = ("binary_tensor_data", "model_repository")
_NONE: frozenset[str] = frozenset()


class Request(NamedTuple):
    """A decoded inference request.

    `binary` are the names of the outputs that are requested in binary. `timeout_seconds` is how long the caller waits.
    """

    rows: Rows
    outputs: tuple[ServedOutput, ...]
    id: str | None = None
    binary: frozenset[str] = frozenset()
    timeout_seconds: float | None = None


def metadata(card: Card, outputs: Outputs, versions: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a model ("Model Metadata"), with -1 for the number of rows in a shape.

    `artifact_vouched` is whether the card has the digest of the artifact, so that a change of any byte is detected; that
    digest and the card's own say which model answered.
    """
    return {
        "name": card.name,
        **({"versions": list(versions)} if versions else {}),
        "platform": f"tidegate_{card.runtime}",
        "inputs": [_input_metadata(item) for item in card.inputs],
        "outputs": [
            {"name": item.name, "datatype": item.datatype, "shape": [-1, *item.shape], "parameters": _output_parameters(item, card)}
            for item in outputs.all
        ],
        "parameters": {
            "artifact_vouched": card.artifact.sha256 is not None,
            **({"artifact_sha256": card.artifact.sha256} if card.artifact.sha256 else {}),
            **({"card_sha256": card.sha256} if card.sha256 else {}),
        },
    }


def decode(body: bytes, json_length: int | None, model: ModelContract) -> Request:
    """Decode a request, of which only the first `json_length` bytes are JSON if binary tensors follow.

    Raises InvalidInput and TooLarge.
    """
    head = body if json_length is None else body[:json_length]
    document = bulk.parse_request(head) if len(head) >= bulk.LARGE_BYTES else parse_json(head)
    rest = b"" if json_length is None else memoryview(body)[json_length:]
    return parse(document, model, rest)


def parse(document: Any, model: ModelContract, rest: bytes | memoryview = b"") -> Request:
    """Decode a request from its JSON part and the binary data after it. Raises InvalidInput and TooLarge."""
    if not isinstance(document, dict):
        raise InvalidInput("the body must be a JSON object", remedy='send {"inputs": [...]}')
    items = document.get("inputs")
    if not isinstance(items, list) or not items:
        raise InvalidInput("the request has no inputs", remedy="send at least one tensor {name, shape, datatype, data}")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidInput(f"the request's id must be a string, not {name_of(request_id)}.")
    parameters = parameters_of(document, "the request")
    chosen, binary = _requested(document, parameters, model.outputs)
    timeout = timeout_of(parameters) if parameters else None
    return Request(_rows(_inputs(items, rest, model), model.encoder), chosen, request_id, binary, timeout)


def encode(card: Card, request: Request, predicted: Sequence[OutputTensor]) -> tuple[bytes, int | None]:
    """Encode a response; returns its body, and the length of its JSON part if binary tensors follow."""
    if not request.binary:
        return orjson.dumps(document_of(card, request, predicted)), None
    binary = {tensor.name: tensors.to_bytes(tensor) for tensor in predicted if tensor.name in request.binary}
    head = orjson.dumps(document_of(card, request, predicted, {name: len(content) for name, content in binary.items()}))
    return head + b"".join(binary.values()), len(head)


def document_of(
    card: Card, request: Request, predicted: Sequence[OutputTensor], binary_sizes: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the JSON part of a response; a tensor in `binary_sizes` has its size instead of its data.

    Empty fields are left out.
    """
    document: dict[str, Any] = {"model_name": card.name}
    if card.version:
        document["model_version"] = card.version
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = [tensors.to_json(tensor, binary_sizes.get(tensor.name)) for tensor in predicted]
    return document


def _input_metadata(item: Input) -> dict[str, Any]:
    parameters: dict[str, Any] = {"optional": item.optional}
    for name in ("minimum", "maximum"):
        if (bound := getattr(item, name)) is not None:
            parameters[name] = bound
    if item.categories is not None:
        parameters["categories"] = ", ".join(map(text_of, item.categories))
    return {"name": item.name, "datatype": item.datatype, "shape": [-1], "parameters": parameters}


def _output_parameters(item: ServedOutput, card: Card) -> dict[str, Any]:
    """Return an output's parameters; each must be a string, a number or a boolean."""
    parameters: dict[str, Any] = {"description": item.description, "meaning": item.meaning, "on_request": item.on_request}
    if item.classes:
        parameters["classes"] = ", ".join(item.classes)
    if item.threshold is not None:
        parameters["threshold"] = item.threshold
    if item.kind == "contributions":
        parameters["columns"] = ", ".join([*card.columns, "bias"])
    return parameters


def _inputs(items: list[Any], rest: bytes | memoryview, model: ModelContract) -> list[Tensor]:
    position = values = 0

    def take(size: int) -> bytes:
        nonlocal position
        content = bytes(rest[position : position + size])
        position += size
        return content

    def check(shape: tuple[int, ...]) -> None:
        """Raise TooLarge before the data become Python objects, which take many times their bytes."""
        nonlocal values
        model.check_rows(shape[0])
        values += math.prod(shape)
        most = max(model.max_values, tensors.ALWAYS_FIT)
        if values > most:
            raise TooLarge(f"the tensors have at least {values} values, more than the limit of {most}", remedy="send several requests")

    found = [tensors.decode(index, item, take, check) for index, item in enumerate(items)]
    if position != len(rest):
        raise InvalidInput(f"{len(rest)} bytes follow the JSON part, but the tensors' binary_data_size add up to {position}.")
    return found


def _rows(found: list[Tensor], encoder: Encoder) -> Rows:
    first = found[0]
    if len(found) == 1 and len(first.shape) == 2 and not encoder.knows(first.name):
        return _matrix(first, encoder)
    names = [tensor.name for tensor in found]
    if len(found) == 1 and not encoder.knows(first.name):
        raise InvalidInput(
            f"the tensor {first.name} of shape {list(first.shape)} is not an input",
            remedy=f"send all inputs in one tensor of shape [rows, {len(encoder.names)}],"
            f" or one tensor per input: {', '.join(encoder.names)}",
        )
    encoder.check_names(names)
    if len(set(names)) < len(names):
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        raise InvalidInput(f"duplicate tensors: {', '.join(twice)}.")
    count = first.shape[0]
    for tensor in found:
        if tensor.shape not in ((count,), (count, 1)):
            raise InvalidInput(
                f"the tensor {tensor.name} has the shape {list(tensor.shape)}",
                remedy=f"send one value per row in the shape [{count}] or [{count}, 1]",
            )
    return encoder.columns({tensor.name: tensor.data for tensor in found}, count)


def _matrix(tensor: Tensor, encoder: Encoder) -> Rows:
    count, width = tensor.shape
    if width != len(encoder.names):
        names = ", ".join(encoder.names)
        raise InvalidInput(f"the tensor {tensor.name} has {width} columns, but the model has {len(encoder.names)} inputs: {names}.")
    return encoder.matrix(tensor.data, count)


def _requested(
    document: dict[str, Any], parameters: Mapping[str, Any], outputs: Outputs
) -> tuple[tuple[ServedOutput, ...], frozenset[str]]:
    """Return the outputs that are requested, and the names of those that are requested in binary."""
    all_binary = bool(parameters) and _flag(parameters, "binary_data_output", "the request")
    requested = document.get("outputs")
    if not requested and (requested is None or isinstance(requested, list)):
        return outputs.default, frozenset(item.name for item in outputs.default) if all_binary else _NONE
    if not isinstance(requested, list):
        raise InvalidInput(f"outputs is {name_of(requested)}", remedy="send a list of objects with a name, or leave it out")
    binary = set()
    for index, item in enumerate(requested):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInput(f"outputs[{index}] has no name", remedy="send an object with the name of an output")
        name = item["name"]
        if _flag(parameters_of(item, "the output", name), "binary_data", f"the output {name}", default=all_binary):
            binary.add(name)
    return outputs.select([item["name"] for item in requested]), frozenset(binary)


def _flag(parameters: Mapping[str, Any], name: str, owner: str, *, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidInput(f"the parameter {name} of {owner} must be a boolean, not {name_of(value)}.")
    return value
