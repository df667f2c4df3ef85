"""The model card `model.yaml`: what a model is called, takes and gives, and which artifact it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from functions.runtime.errors import InvalidModel

# Open Inference Protocol V2, "Tensor Data Types": those that a table of features needs.
Datatype = Literal["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=120)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Part):
    """One value of a row. Without `categories` a BYTES input is any text; an `optional` one may be null or absent."""

    name: Name
    datatype: Datatype
    optional: bool = False
    categories: tuple[str, ...] | None = None
    description: str = ""


class Output(_Part):
    name: Name
    datatype: Datatype = "FP32"
    description: str = ""


class Artifact(_Part):
    """Where the trained model is (a path beside the card) and the digest of its bytes, checked before any library reads them."""

    uri: str
    sha256: Sha256 | None = None


class Card(_Part):
    """`features` are the columns of the artifact, in its order: the inputs themselves unless `transform` makes them from the inputs.

    `transform` names a module with a function `transform(record) -> {feature: float}`, which training and serving share.
    """

    name: Name
    version: Name | None = None
    description: str = ""
    runtime: Literal["xgboost"] = "xgboost"
    inputs: tuple[Input, ...] = Field(min_length=1)
    outputs: tuple[Output, ...] = Field(min_length=1)
    artifact: Artifact
    transform: str | None = None
    features: tuple[str, ...] = ()
    example: dict[str, Any] | None = None
    importance: dict[str, float] = {}
    evaluation: dict[str, Any] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the artifact: the features, or the inputs where no transform stands between."""
        return self.features or tuple(item.name for item in self.inputs)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Card:
        for what, names in (("inputs", [i.name for i in self.inputs]), ("outputs", [o.name for o in self.outputs])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} names {', '.join(sorted(twice))} more than once")
        if self.transform and not self.features:
            raise ValueError("a card with a transform lists the features that the artifact takes")
        return self


def load(path: Path) -> Card:
    """Read a card. Raises InvalidModel, naming the field."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise InvalidModel(f"cannot read the model card {path}: {error.strerror}; train the model first, or name another card.") from None
    try:
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 both are safe loaders
        return Card.model_validate(loaded)
    except yaml.YAMLError as error:
        raise InvalidModel(f"the model card {path} is not YAML: {' '.join(str(error).split())}.") from None
    except ValidationError as error:
        raise InvalidModel(f"the model card {path} is not valid: {in_one_sentence(error)}.") from None


def in_one_sentence(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, by the path of its field."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the card"
    more = error.error_count() - 1
    return f"{where}: {first['msg']}" + (f" (and {more} more)" if more else "")


def dump(card: Card) -> str:
    """The card as YAML, without what it leaves at its default."""
    return yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=120)
