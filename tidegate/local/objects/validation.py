"""Strict models of Kubernetes objects, and what is wrong with one in a sentence that names the field."""

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


# pydantic's words, and those of people who write YAML.
_WORDS = {
    "Input should be a valid ": "must be a ",
    "Input should be ": "must be ",
    "dictionary": "mapping",
    "a integer": "a whole number",
    "must be a string": "must be a text (put it in quotes)",
}


class Part(BaseModel):
    """A piece of a manifest. Unknown fields are refused, as the API server's strict validation does; nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Stage(Enum):
    """Which part of a cluster would have refused the object; it decides the status that an API client sees."""

    DECODING = "strict decoding"
    SCHEMA = "schema"
    WEBHOOK = "webhook"


class InvalidObject(TidegateError):
    """`field` is the path of what is wrong, `problem` says what and what to do; Knative's webhook puts `details` on a line of their own."""

    def __init__(self, stage: Stage, field: str, problem: str, details: str = "") -> None:
        sentence = f"{problem}: {field}" if stage is Stage.WEBHOOK else f"{field} {problem}"
        sentence += f" ({details})" if details else ""
        super().__init__(sentence if sentence.endswith("?") else f"{sentence}.")
        self.stage = stage
        self.field = field
        self.problem = problem
        self.details = details


P = TypeVar("P", bound=Part)


def parse(model: type[P], value: Object) -> P:
    """Raises InvalidObject for the first thing that is wrong."""
    try:
        return model.model_validate(without_nulls(value))
    except ValidationError as error:
        raise _explain(model, error.errors(include_url=False)[0]) from None


def refused(field: str, problem: str, details: str = "") -> InvalidObject:
    """In the words of Knative's webhook, which puts the field last."""
    return InvalidObject(Stage.WEBHOOK, field, problem, details)


def without_nulls(value: Any) -> Any:
    """A null is the same as an absent field to the API server."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def path_of(location: Sequence[int | str]) -> str:
    """`("spec", "containers", 0, "name")` as `spec.containers[0].name`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _explain(model: type[BaseModel], detail: ErrorDetails) -> InvalidObject:
    location, kind = detail["loc"], detail["type"]
    field = path_of(location)
    if kind == "extra_forbidden":
        return InvalidObject(Stage.DECODING, field, f"is an unknown field; {_hint(model, location)}")
    if kind == "missing":
        return InvalidObject(Stage.SCHEMA, field, "is missing; add it")
    if kind == "value_error":
        error: InvalidObject | ValueError = detail["ctx"]["error"]
        return InvalidObject(Stage.SCHEMA, field, str(error))
    message = detail["msg"]
    for pydantics, ours in _WORDS.items():
        message = message.replace(pydantics, ours)
    return InvalidObject(Stage.SCHEMA, field, f"is {_short(detail['input'])}: it {message}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _hint(model: type[BaseModel], location: Sequence[int | str]) -> str:
    known = [field.alias or name for name, field in _model_at(model, location[:-1]).model_fields.items()]
    guess = nearest(str(location[-1]), known)
    return f"did you mean {guess}?" if guess else f"known here: {', '.join(sorted(known))}"


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
