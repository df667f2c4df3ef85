"""Strict models of Kubernetes objects, and validation errors that name the field."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from common.errors import TidegateError

Json = Any
Object = dict[str, Any]


# From pydantic's terms to those of YAML.
_TERMS = {
    "Input should be a valid ": "must be a ",
    "Input should be ": "must be ",
    "dictionary": "mapping",
    "a integer": "an integer",
    "must be a string": "must be a string (put it in quotes)",
}


class StrictModel(BaseModel):
    """A part of a manifest.

    Unknown fields are errors, as in the API server's strict validation; no value is coerced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Stage(Enum):
    """The stage of a cluster's validation that rejects an object. It decides the status that an API client gets."""

    DECODING = "strict decoding"
    SCHEMA = "schema"
    WEBHOOK = "webhook"


class InvalidObject(TidegateError):
    """An object that a cluster would reject, or that no process can run.

    `field` is the path of the invalid field and `problem` the cause; Knative's webhook puts `details` on a line of
    their own.
    """

    def __init__(self, stage: Stage, field: str, problem: str, *, details: str = "", remedy: str = "") -> None:
        sentence = f"{problem}: {field}" if stage is Stage.WEBHOOK else f"{field} {problem}"
        sentence += f" ({details})" if details else ""
        super().__init__(sentence if remedy or sentence.endswith("?") else f"{sentence}.", remedy=remedy)
        self.stage = stage
        self.field = field
        self.problem = problem
        self.details = details


M = TypeVar("M", bound=StrictModel)


def parse(model: type[M], value: Object) -> M:
    """Parse an object as a model. Raises InvalidObject for the first invalid field."""
    try:
        return model.model_validate(without_nulls(value))
    except ValidationError as error:
        raise _to_invalid_object(model, error.errors(include_url=False)[0]) from None


def webhook_error(field: str, problem: str, details: str = "") -> InvalidObject:
    """An error in the wording of Knative's webhook, which puts the field last."""
    return InvalidObject(Stage.WEBHOOK, field, problem, details=details)


def without_nulls(value: Any) -> Any:
    """The value without fields that are null, which the API server treats as absent."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def path_of(location: Sequence[int | str]) -> str:
    """The path of a field in Kubernetes' notation: `("spec", "containers", 0, "name")` is `spec.containers[0].name`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that is most similar to a mistyped one, if any is similar enough."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _to_invalid_object(model: type[BaseModel], detail: ErrorDetails) -> InvalidObject:
    location, kind = detail["loc"], detail["type"]
    field = path_of(location)
    if kind == "extra_forbidden":
        return InvalidObject(Stage.DECODING, field, f"is an unknown field; {_hint(model, location)}")
    if kind == "missing":
        return InvalidObject(Stage.SCHEMA, field, "is missing", remedy="add it")
    if kind in ("too_short", "string_too_short"):
        return InvalidObject(Stage.SCHEMA, field, "is empty", remedy="add at least one item" if kind == "too_short" else "write a value")
    if kind == "value_error":
        error: InvalidObject | ValueError = detail["ctx"]["error"]
        return InvalidObject(Stage.SCHEMA, field, str(error))
    message = detail["msg"]
    for pydantic_term, term in _TERMS.items():
        message = message.replace(pydantic_term, term)
    return InvalidObject(Stage.SCHEMA, field, f"is {_shortened(detail['input'])}: it {message}")


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _hint(model: type[BaseModel], location: Sequence[int | str]) -> str:
    known = [field.alias or name for name, field in _model_at(model, location[:-1]).model_fields.items()]
    guess = nearest(str(location[-1]), known)
    return f"did you mean {guess}?" if guess else f"known fields: {', '.join(sorted(known))}"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    for part in location:
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
