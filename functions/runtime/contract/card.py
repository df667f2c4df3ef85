"""The model card `model.yaml`: what a model is called, takes and gives, and which artifact it is."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from functions.runtime.contract.categories import Category, datatype_of
from functions.runtime.contract.datatypes import DATATYPES, FLOATS, WHOLE, bounds_of
from functions.runtime.contract.fields import Fields, InvalidField
from functions.runtime.errors import InvalidModel

# What an output says. Without one it is what the artifact predicts by itself, named by its objective (Signature.meaning).
MEANINGS = ("value", "probability", "label", "margin", "contributions", "leaf")
# A name goes into URLs, and a model's is a Knative Service's too.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}"
# What a column of a table may be called, such as `sepal length (cm)`.
_COLUMN = r"[^\x00-\x1f]{1,200}"
_SHA256 = r"[0-9a-f]{64}"
# Levels of a document; a card has three, its example and evaluation may have more.
_DEEPEST = 200
# A module, such as xgboost (one of ours) or my_project.onnx_runtime.
_MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


@dataclass(frozen=True, slots=True)
class Input:
    """One value of a row. Without `categories` a BYTES input is any text; an `optional` one may be null or absent.

    `categories` are of the input's datatype. A number is at least `minimum` and at most `maximum`, where they are given.
    """

    name: str
    datatype: str
    optional: bool = False
    categories: tuple[Category, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of an answer.

    `meaning` is one of MEANINGS. `classes` names the classes in the order of their numbers (for two classes, the second is the one whose
    probability is told); a label is then a class's name. A row has the second of two classes when its probability is above `threshold`
    (0.5 if not given). One that is `on_request` is computed only when a request names it.
    """

    name: str
    datatype: str | None = None
    description: str = ""
    meaning: str | None = None
    classes: tuple[str, ...] | None = None
    threshold: float | None = None
    on_request: bool = False


@dataclass(frozen=True, slots=True)
class Artifact:
    """Where the trained model is, and the digest of its bytes, checked before any library reads them.

    `uri` is a path beside the card, or else a path or a URI that the process is allowed to read (`artifacts.fetching.Policy`).
    """

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
        runtime=top.text("runtime", "xgboost", pattern=_MODULE),
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
    _check_features(top, card)
    if all(item.on_request for item in card.outputs):
        raise top.invalid("outputs", "are all on_request; leave one that every answer has")
    return card


def load(path: Path) -> Card:
    """Read a card. Raises InvalidModel, naming the field."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidModel(f"cannot read the model card {path}: {reason}; train the model first, or name another card.") from None
    try:
        return parse(_read(text))
    except InvalidField as error:
        raise InvalidModel(f"the model card {path} is not valid: {error}.") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # such as a date that there is not, or lists without end
        raise InvalidModel(f"the model card {path} is not YAML: {' '.join(str(error).split())}.") from None


def _read(text: str) -> Any:
    """The loader in C has no limit of depth, and dies of a document that is nested too deeply; one with few brackets and dashes is not."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if sum(text.count(mark) for mark in ("[", "{", "- ", "-\t", "? ", "?\t")) > _DEEPEST:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise InvalidField(f"it is nested more than {_DEEPEST} deep")
    return yaml.load(text, Loader=loader)  # noqa: S506 both are safe loaders


def dump(card: Card) -> str:
    """The card as YAML, without the fields that are empty; a default that is not is written too."""
    document = _document(card)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    if any(mark in text for mark in "\x85\u2028\u2029"):  # ends of lines to YAML, which are lost unless they are escaped
        text = yaml.safe_dump(document, sort_keys=False, width=120)
    return text


def _input(item: Fields) -> Input:
    found = Input(
        name=item.text("name", pattern=_COLUMN),
        datatype=item.text("datatype", among=DATATYPES),
        optional=item.flag("optional"),
        categories=item.categories("categories"),
        minimum=item.number("minimum"),
        maximum=item.number("maximum"),
        description=item.text("description", ""),
    )
    item.end()
    if found.categories is not None:
        _check_categories(item, found, found.categories)
    for name in ("minimum", "maximum"):
        if getattr(found, name) is not None and found.datatype in ("BYTES", "BOOL"):
            raise item.invalid(name, f"bounds a number; {found.datatype} is none")
        if getattr(found, name) is not None and found.categories is not None:
            raise item.invalid(name, "bounds a number; an input with categories takes only those, so leave it out")
    if found.minimum is not None and found.maximum is not None and found.minimum > found.maximum:
        raise item.invalid("minimum", f"is {found.minimum}, above the maximum, {found.maximum}; no value could be sent")
    return found


def _check_categories(item: Fields, found: Input, categories: tuple[Category, ...]) -> None:
    """All are of the input's datatype, so that none has to be guessed at."""
    wrong = [category for category in categories if type(category) not in _types_of(found.datatype)]
    if wrong and found.datatype == "BYTES":
        fitting = datatype_of(categories)
        remedy = "put it in quotes" if fitting == "BYTES" else f"put it in quotes, or make the datatype {fitting}"
        raise item.invalid("categories", f"has an item that is no text; {remedy}")
    if wrong and all(isinstance(category, str) for category in categories):
        raise item.invalid("categories", f"are texts; the datatype must be BYTES, not {found.datatype}")
    if wrong:
        raise item.invalid("categories", f"has {wrong[0]!r}; each must be a value of the datatype {found.datatype}")
    if found.datatype in (*WHOLE, *FLOATS):
        least, most = bounds_of(found.datatype)
        outside = [category for category in categories if isinstance(category, (int, float)) and not least <= category <= most]
        if outside:
            raise item.invalid("categories", f"has {outside[0]!r}, which is beyond the datatype {found.datatype}; name a larger one")


def _types_of(datatype: str) -> tuple[type, ...]:
    if datatype in WHOLE:
        return (int,)
    if datatype in FLOATS:
        return (int, float)
    return (str,) if datatype == "BYTES" else (bool,)


def _output(item: Fields) -> Output:
    found = Output(
        name=item.text("name", pattern=_COLUMN),
        datatype=item.optional_text("datatype", among=DATATYPES),
        description=item.text("description", ""),
        meaning=item.optional_text("meaning", among=MEANINGS),
        classes=item.texts("classes", least=2),
        threshold=item.number("threshold", least=0, most=1),
        on_request=item.flag("on_request"),
    )
    item.end()
    if found.classes is not None and found.meaning not in (None, "probability", "label"):
        raise item.invalid("classes", f"name what a probability or a label is of; a {found.meaning} has none")
    if found.threshold is not None and found.meaning not in (None, "label"):
        raise item.invalid("threshold", f"decides a label; a {found.meaning} needs none, add an output with the meaning label")
    return found


def _artifact(item: Fields) -> Artifact:
    found = Artifact(uri=item.text("uri"), sha256=item.optional_text("sha256", pattern=_SHA256))
    item.end()
    if not found.uri.isprintable():  # not repeated, since a URI may hold a secret
        raise item.invalid("uri", "has characters that cannot be seen; write it anew")
    return found


def _check_unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidField(f"{where} names {', '.join(twice)} more than once")


def _check_features(top: Fields, card: Card) -> None:
    names = {item.name for item in card.inputs}
    if card.transform and not card.features:
        raise top.invalid("features", "is missing; a card with a transform lists what the artifact takes")
    if card.features and not card.transform and names != set(card.features):
        differing = ", ".join(sorted(names.symmetric_difference(card.features)))
        raise top.invalid("features", f"and inputs differ ({differing}); without a transform the inputs are the features")


def _document(value: Any) -> Any:
    """Plain lists and objects, in the order of the fields."""
    if isinstance(value, (Card, Input, Output, Artifact)):
        given = {item.name: getattr(value, item.name) for item in fields(value)}
        # Compared one by one: a bound of 0 equals False, and is not empty.
        return {
            name: _document(found)
            for name, found in given.items()
            if found is not None and found is not False and found not in ("", (), {})
        }
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    return {name: _document(item) for name, item in value.items()} if isinstance(value, dict) else value
