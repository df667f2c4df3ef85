"""The model card `model.yaml`: the name of a model, its inputs and outputs, and its artifact."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from functions.runtime.contract.categories import Category, datatype_of
from functions.runtime.contract.datatypes import DATATYPES, FLOATS, WHOLE, bounds_of
from functions.runtime.contract.fields import Fields, InvalidField
from functions.runtime.errors import InvalidModel

# Meanings of an output. Without one it is the artifact's own prediction, whose meaning depends on its objective
# (Signature.meaning).
MEANINGS = ("value", "probability", "label", "margin", "contributions", "leaf")
# A name goes into URLs, and a model's is a Knative Service's too.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}"
# The name of a column of a table, such as `sepal length (cm)`.
_COLUMN = r"[^\x00-\x1f]{1,200}"
_SHA256 = r"[0-9a-f]{64}"
# Levels of a document; a card has three, its example and evaluation may have more.
_DEEPEST = 200
# A module: xgboost, which is built in, or my_project.onnx_runtime.
_MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


@dataclass(frozen=True, slots=True)
class Input:
    """One value of a row. Without `categories` a BYTES input is any string; an `optional` one may be null or absent.

    `categories` are of the input's datatype. A number is at least `minimum` and at most `maximum`, if they are given.
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

    `meaning` is one of MEANINGS. `classes` names the classes in the order of their numbers (of two classes, a
    probability is that of the second); a label is then the name of a class. A row has the second of two classes when
    its probability is above `threshold` (0.5 if not given). An output `on_request` is computed only when a request
    names it.
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
    """The location of the trained model, and the digest of its bytes, checked before any library reads them.

    `uri` is a path in the folder of the card, or another path or URI that the policy allows
    (`artifacts.policy.Policy`).
    """

    uri: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """The card of one model.

    `transform` names a module with a function `transform(record) -> {feature: float}`, which training and serving
    share. `features` are the columns of the artifact, in its order: those that the transform makes, or without one the
    inputs.
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
    # The digest of the file that the card was read from; it is not part of it.
    sha256: str | None = field(default=None, compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the artifact: the features, or the inputs if the card names no features."""
        return self.features or tuple(item.name for item in self.inputs)


def parse(document: Any) -> Card:
    """Make a card from a parsed YAML or JSON document. Raises InvalidField, naming the field."""
    top = Fields(document)
    card = Card(
        name=top.string("name", pattern=_NAME),
        version=top.optional_string("version", pattern=_NAME),
        description=top.string("description", ""),
        runtime=top.string("runtime", "xgboost", pattern=_MODULE),
        transform=top.optional_string("transform"),
        inputs=tuple(_input(item) for item in top.objects("inputs")),
        outputs=tuple(_output(item) for item in top.objects("outputs")),
        features=top.strings("features") or (),
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
        raise top.invalid("outputs", "are all on_request", remedy="leave one that every answer has")
    return card


def load(path: Path) -> Card:
    """Read a card. Raises InvalidModel, naming the field."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidModel(f"cannot read the model card {path}: {reason}", remedy="train the model first, or name another card") from None
    try:
        return replace(parse(_read(text)), sha256=hashlib.sha256(content).hexdigest())
    except InvalidField as error:
        reason = f"the model card {path} is invalid: {error.reason}"
        raise InvalidModel(reason if error.remedy else f"{reason}.", remedy=error.remedy) from None
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # such as an impossible date, or a list that contains itself
        raise InvalidModel(f"the model card {path} is not YAML: {' '.join(str(error).split())}.") from None


def _read(text: str) -> Any:
    """Parse YAML of limited depth: the loader in C has no limit, and crashes on a document that is nested too deeply.

    The depth is only measured where there are enough brackets and dashes for a deep document.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if sum(text.count(mark) for mark in ("[", "{", "- ", "-\t", "? ", "?\t")) > _DEEPEST:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise InvalidField(f"it is nested more than {_DEEPEST} deep")
    return yaml.load(text, Loader=loader)  # noqa: S506 both are safe loaders


def dump(card: Card) -> str:
    """The card as YAML, without empty fields; defaults that are not empty are written."""
    document = _document(card)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    if any(mark in text for mark in "\x85\u2028\u2029"):  # line ends in YAML, which are lost unless they are escaped
        text = yaml.safe_dump(document, sort_keys=False, width=120)
    return text


def _input(item: Fields) -> Input:
    found = Input(
        name=item.string("name", pattern=_COLUMN),
        datatype=item.string("datatype", among=DATATYPES),
        optional=item.boolean("optional"),
        categories=item.categories("categories"),
        minimum=item.number("minimum"),
        maximum=item.number("maximum"),
        description=item.string("description", ""),
    )
    item.end()
    if found.categories is not None:
        _check_categories(item, found, found.categories)
    for name in ("minimum", "maximum"):
        if getattr(found, name) is not None and found.datatype in ("BYTES", "BOOL"):
            raise item.invalid(name, f"bounds a number; {found.datatype} is not one")
        if getattr(found, name) is not None and found.categories is not None:
            raise item.invalid(name, "bounds a number; an input with categories takes only those", remedy="leave it out")
    if found.minimum is not None and found.maximum is not None and found.minimum > found.maximum:
        raise item.invalid("minimum", f"is {found.minimum}, above the maximum, {found.maximum}; no value could be sent")
    return found


def _check_categories(item: Fields, found: Input, categories: tuple[Category, ...]) -> None:
    """Check that all are of the input's datatype: none is converted by a guess."""
    wrong = [category for category in categories if type(category) not in _types_of(found.datatype)]
    if wrong and found.datatype == "BYTES":
        fitting = datatype_of(categories)
        remedy = "put it in quotes" if fitting == "BYTES" else f"put it in quotes, or make the datatype {fitting}"
        raise item.invalid("categories", "has an item that is not a string", remedy=remedy)
    if wrong and all(isinstance(category, str) for category in categories):
        raise item.invalid("categories", f"are strings; the datatype must be BYTES, not {found.datatype}")
    if wrong:
        raise item.invalid("categories", f"has {wrong[0]!r}; each must be a value of the datatype {found.datatype}")
    if found.datatype in (*WHOLE, *FLOATS):
        least, most = bounds_of(found.datatype)
        outside = [category for category in categories if isinstance(category, (int, float)) and not least <= category <= most]
        if outside:
            raise item.invalid(
                "categories", f"has {outside[0]!r}, which is beyond the datatype {found.datatype}", remedy="name a larger one"
            )


def _types_of(datatype: str) -> tuple[type, ...]:
    if datatype in WHOLE:
        return (int,)
    if datatype in FLOATS:
        return (int, float)
    return (str,) if datatype == "BYTES" else (bool,)


def _output(item: Fields) -> Output:
    found = Output(
        name=item.string("name", pattern=_COLUMN),
        datatype=item.optional_string("datatype", among=DATATYPES),
        description=item.string("description", ""),
        meaning=item.optional_string("meaning", among=MEANINGS),
        classes=item.strings("classes", least=2),
        threshold=item.number("threshold", least=0, most=1),
        on_request=item.boolean("on_request"),
    )
    item.end()
    if found.classes is not None and found.meaning not in (None, "probability", "label"):
        raise item.invalid("classes", f"are those of a probability or a label; a {found.meaning} has none")
    if found.threshold is not None and found.meaning not in (None, "label"):
        raise item.invalid("threshold", f"decides a label; a {found.meaning} has none", remedy="add an output with the meaning label")
    return found


def _artifact(item: Fields) -> Artifact:
    found = Artifact(uri=item.string("uri"), sha256=item.optional_string("sha256", pattern=_SHA256))
    item.end()
    if not found.uri.isprintable():  # not quoted, since a URI may hold a secret
        raise item.invalid("uri", "has invisible characters", remedy="type it again")
    return found


def _check_unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidField(f"{where} names {', '.join(twice)} more than once")


def _check_features(top: Fields, card: Card) -> None:
    names = {item.name for item in card.inputs}
    if card.transform and not card.features:
        raise top.invalid("features", "is missing", remedy="list the columns of the artifact, which the transform makes")
    if card.features and not card.transform and names != set(card.features):
        differing = ", ".join(sorted(names.symmetric_difference(card.features)))
        raise top.invalid("features", f"and inputs differ ({differing}); without a transform the inputs are the features")


def _document(value: Any) -> Any:
    """The value as lists and objects, in the order of the fields."""
    if isinstance(value, (Card, Input, Output, Artifact)):
        given = {item.name: getattr(value, item.name) for item in fields(value) if item.compare}
        # Compared one by one: a bound of 0 equals False, and is not empty.
        return {
            name: _document(found)
            for name, found in given.items()
            if found is not None and found is not False and found not in ("", (), {})
        }
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    return {name: _document(item) for name, item in value.items()} if isinstance(value, dict) else value
