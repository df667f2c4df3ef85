"""The model card `model.yaml`: what a model is called, takes and gives, and which artifact it is."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from functions.runtime.errors import InvalidModel
from functions.runtime.fields import Fields, InvalidField

# Open Inference Protocol V2, "Tensor Data Types": those that a table of features needs.
DATATYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES")
RUNTIMES = ("xgboost",)
# A name goes into URLs, and a model's is a Knative Service's too.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}"
# What a column of a table may be called, such as `sepal length (cm)`.
_COLUMN = r"[^\x00-\x1f]{1,200}"
_SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Input:
    """One value of a row. Without `categories` a BYTES input is any text; an `optional` one may be null or absent."""

    name: str
    datatype: str
    optional: bool = False
    categories: tuple[str, ...] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    datatype: str = "FP32"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Where the trained model is (a path beside the card) and the digest of its bytes, checked before any library reads them."""

    uri: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """`features` are the columns of the artifact, in its order: the inputs themselves unless `transform` makes them from the inputs.

    `transform` names a module with a function `transform(record) -> {feature: float}`, which training and serving share.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    artifact: Artifact
    version: str | None = None
    description: str = ""
    runtime: str = "xgboost"
    transform: str | None = None
    features: tuple[str, ...] = ()
    example: dict[str, Any] | None = None
    importance: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the artifact: the features, or the inputs where no transform stands between."""
        return self.features or tuple(item.name for item in self.inputs)


def parse(document: Any) -> Card:
    """A card from what YAML or JSON says. Raises InvalidField, naming the field."""
    top = Fields(document)
    card = Card(
        name=top.text("name", pattern=_NAME),
        version=top.optional_text("version", pattern=_NAME),
        description=top.text("description", ""),
        runtime=top.text("runtime", "xgboost", among=RUNTIMES),
        transform=top.optional_text("transform"),
        inputs=tuple(_input(item) for item in top.objects("inputs")),
        outputs=tuple(_output(item) for item in top.objects("outputs")),
        features=top.texts("features") or (),
        artifact=_artifact(top.object("artifact")),
        example=top.mapping("example") or None,
        importance=top.mapping("importance"),
        evaluation=top.mapping("evaluation"),
    )
    top.end()
    _check_unique("inputs", [item.name for item in card.inputs])
    _check_unique("outputs", [item.name for item in card.outputs])
    if card.transform and not card.features:
        raise InvalidField("features is missing; a card with a transform lists what the artifact takes")
    return card


def load(path: Path) -> Card:
    """Read a card. Raises InvalidModel, naming the field."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidModel(f"cannot read the model card {path}: {reason}; train the model first, or name another card.") from None
    try:
        return parse(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 both are safe loaders
    except yaml.YAMLError as error:
        raise InvalidModel(f"the model card {path} is not YAML: {' '.join(str(error).split())}.") from None
    except InvalidField as error:
        raise InvalidModel(f"the model card {path} is not valid: {error}.") from None


def dump(card: Card) -> str:
    """The card as YAML, without the fields that are empty; a default that is not is written too."""
    return yaml.safe_dump(_document(card), sort_keys=False, allow_unicode=True, width=120)


def _input(item: Fields) -> Input:
    found = Input(
        name=item.text("name", pattern=_COLUMN),
        datatype=item.text("datatype", among=DATATYPES),
        optional=item.flag("optional"),
        categories=item.texts("categories"),
        description=item.text("description", ""),
    )
    item.end()
    return found


def _output(item: Fields) -> Output:
    found = Output(
        name=item.text("name", pattern=_COLUMN),
        datatype=item.text("datatype", "FP32", among=DATATYPES),
        description=item.text("description", ""),
    )
    item.end()
    return found


def _artifact(item: Fields) -> Artifact:
    found = Artifact(uri=item.text("uri"), sha256=item.optional_text("sha256", pattern=_SHA256))
    item.end()
    return found


def _check_unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidField(f"{where} names {', '.join(twice)} more than once")


def _document(value: Any) -> Any:
    """Plain lists and objects, in the order of the fields."""
    if isinstance(value, (Card, Input, Output, Artifact)):
        empty: tuple[Any, ...] = (None, "", (), {}, False)
        return {item.name: _document(found) for item in fields(value) if (found := getattr(value, item.name)) not in empty}
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    return {name: _document(item) for name, item in value.items()} if isinstance(value, dict) else value
