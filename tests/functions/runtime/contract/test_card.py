from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.contract import card as cards
from functions.runtime.contract.card import MEANINGS, Artifact, Card, Input, Output, dump, load, parse
from functions.runtime.contract.datatypes import DATATYPES, WHOLE, bounds_of
from functions.runtime.contract.fields import InvalidField
from functions.runtime.errors import InvalidModel

PAGE = Path(__file__).parents[4] / "docs" / "model-card.md"

# With hard cases of YAML: quotes, colons, line ends of other scripts, strings that look like a number or a date.
texts = st.text(max_size=20) | st.sampled_from(["yes", "1e3", "0x1F", "2013-01-01", "null", "~", "a: b", "- a", "\x85", "\ufeff", "#"])
columns = st.from_regex(r"[^\x00-\x1f]{1,20}", fullmatch=True).filter(lambda name: name.encode("utf-8", "ignore").decode() == name)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,20}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64)
plain = st.recursive(
    st.none() | st.booleans() | finite | texts,
    lambda item: st.lists(item, max_size=3) | st.dictionaries(texts, item, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, plain, max_size=3)


def own_values(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BOOL":
        return st.booleans()
    least, most = bounds_of(datatype)
    whole = st.integers(int(max(least, -(2**63))), int(min(most, 2**64 - 1)))
    return whole if datatype in WHOLE else whole | st.floats(-60_000, 60_000)


@st.composite
def inputs(draw: st.DrawFn, name: str) -> Input:
    datatype = draw(st.sampled_from(DATATYPES))
    bounds: list[float | None] = [None, None]
    categories = None
    if datatype == "BYTES":
        categories = draw(st.none() | st.lists(texts, min_size=1, max_size=4, unique=True).map(tuple))
    elif draw(st.booleans()):
        categories = draw(st.lists(own_values(datatype), min_size=1, max_size=4, unique=True).map(tuple))
    elif datatype != "BOOL":
        low, high = sorted((draw(finite), draw(finite)))
        bounds = [draw(st.sampled_from([None, low])), draw(st.sampled_from([None, high]))]
    return Input(name, datatype, draw(st.booleans()), categories, bounds[0], bounds[1], draw(texts))


@st.composite
def outputs(draw: st.DrawFn, name: str, on_request: bool) -> Output:
    meaning = draw(st.none() | st.sampled_from(MEANINGS))
    classes = threshold = None
    if meaning in (None, "probability", "label"):
        classes = draw(st.none() | st.lists(texts, min_size=2, max_size=4, unique=True).map(tuple))
    if meaning in (None, "label"):
        threshold = draw(st.none() | st.floats(0, 1))
    return Output(name, draw(st.none() | st.sampled_from(DATATYPES)), draw(texts), meaning, classes, threshold, on_request)


@st.composite
def any_card(draw: st.DrawFn) -> Card:
    given_names = draw(st.lists(columns, min_size=1, max_size=4, unique=True))
    transform = draw(st.none() | st.just("project.transform"))
    features = draw(st.lists(columns, min_size=1, max_size=4, unique=True)) if transform else draw(st.sampled_from([[], given_names]))
    answers = draw(st.lists(columns, min_size=1, max_size=3, unique=True))
    return Card(
        name=draw(names),
        version=draw(st.none() | names),
        description=draw(texts),
        runtime=draw(st.sampled_from(["xgboost", "lightgbm", "my_project.onnx_runtime"])),
        transform=transform,
        inputs=tuple(draw(inputs(name)) for name in given_names),
        outputs=tuple(draw(outputs(name, bool(index and draw(st.booleans())))) for index, name in enumerate(answers)),
        features=tuple(features),
        artifact=Artifact(
            draw(texts.filter(lambda text: bool(text) and text.isprintable())),
            draw(st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        ),
        example=draw(st.none() | objects.filter(bool)),
        importance=draw(objects),
        evaluation=draw(objects),
    )


@given(any_card())
def test_a_card_that_is_written_and_read_is_equal(card: Card) -> None:
    assert parse(yaml.load(dump(card), Loader=yaml.CSafeLoader)) == card


def document(**change: Any) -> dict[str, Any]:
    card = {
        "name": "little",
        "inputs": [{"name": "size", "datatype": "FP32"}, {"name": "city", "datatype": "BYTES"}],
        "outputs": [{"name": "score"}],
        "artifact": {"uri": "model.ubj"},
    }
    return card | change


def with_input(**change: Any) -> dict[str, Any]:
    return document(inputs=[{"name": "size", "datatype": "FP32"} | change])


def with_output(**change: Any) -> dict[str, Any]:
    return document(outputs=[{"name": "score"} | change])


def test_bounds_and_thresholds_of_zero_are_written() -> None:
    text = dump(parse(with_input(minimum=0, maximum=0) | {"outputs": [{"name": "late", "meaning": "label", "threshold": 0}]}))
    assert "minimum: 0\n" in text
    assert "maximum: 0\n" in text
    assert "threshold: 0\n" in text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ([], "it is a list; it must be an object"),
        (document(inputs=[]), "inputs is empty; name at least one"),
        (document(name=None), "name is missing"),
        (document(colour="red"), "colour is unknown; known are name, version"),
        (document(runtime="../evil"), "runtime is '../evil'; it must match"),
        (document(features=["size"]), r"features and inputs differ \(city\); without a transform the inputs are the features"),
        (document(transform="t"), "features is missing; list the columns of the artifact, which the transform makes"),
        (document(transform="t", features=["a", "b", "a"]), "features has 'a' more than once"),
        (with_input(minimun=1), r"inputs\[0\]\.minimun is unknown; perhaps it is minimum"),
        (with_input(minimum="1e3"), r"inputs\[0\]\.minimum is '1e3'; it must be a number, such as 0\.5 or 1\.0e\+3"),
        (with_input(minimum=True), r"inputs\[0\]\.minimum is True; it must be a finite number, or left out"),
        (with_input(maximum=float("inf")), r"inputs\[0\]\.maximum is inf; it must be a finite number, or left out"),
        (with_input(maximum=float("nan")), r"inputs\[0\]\.maximum is nan; it must be a finite number, or left out"),
        (with_input(maximum=10**400), r"inputs\[0\]\.maximum is 10{39}; it must be a finite number, or left out"),
        (with_input(minimum=2, maximum=1), r"inputs\[0\]\.minimum is 2, above the maximum, 1"),
        (with_input(datatype="BYTES", minimum=1), r"inputs\[0\]\.minimum bounds a number; BYTES is not one"),
        (with_input(datatype="BOOL", maximum=1), r"inputs\[0\]\.maximum bounds a number; BOOL is not one"),
        (with_input(categories=["a"]), r"inputs\[0\]\.categories are strings; the datatype must be BYTES, not FP32"),
        (with_input(datatype="BYTES", categories=[]), r"inputs\[0\]\.categories has 0 items; name at least 1, or leave it out"),
        (with_input(datatype="BYTES", categories=["a", "b", "a"]), r"inputs\[0\]\.categories has 'a' more than once"),
        (
            with_input(datatype="BYTES", categories=[1]),
            r"inputs\[0\]\.categories has an item that is not a string; put it in quotes, or make the datatype INT64",
        ),
        (
            with_input(datatype="BYTES", categories=["a", True]),
            r"inputs\[0\]\.categories has an item that is not a string; put it in quotes$",
        ),
        (
            with_input(datatype="INT32", categories=[1, 2.5]),
            r"inputs\[0\]\.categories has 2\.5; each must be a value of the datatype",
        ),
        (
            with_input(datatype="INT64", categories=[1, True]),
            r"inputs\[0\]\.categories has True; each must be a value of the",
        ),
        (with_input(datatype="BOOL", categories=[0, 1]), r"inputs\[0\]\.categories has 0; each must be a value of the datatype BOOL"),
        (with_input(datatype="INT8", categories=[1, 300]), r"inputs\[0\]\.categories has 300, which is beyond the datatype INT8"),
        (with_input(datatype="FP16", categories=[1e6]), r"inputs\[0\]\.categories has 1000000\.0, which is beyond the datatype FP16"),
        (with_input(categories=[1, 1.0]), r"inputs\[0\]\.categories has 1\.0 more than once"),
        (with_input(categories=[float("nan")]), r"inputs\[0\]\.categories has nan; each must be a string, a finite number of 64 bits"),
        (with_input(categories=[10**30]), r"inputs\[0\]\.categories has 10{30}; each must be a string, a finite number of 64 bits"),
        (with_input(categories=[[1]]), r"inputs\[0\]\.categories has a list; each must be a string"),
        (with_input(categories=[1, 2], minimum=0), r"inputs\[0\]\.minimum bounds a number; an input with categories takes only those"),
        (with_output(meaning="odds"), r"outputs\[0\]\.meaning is 'odds'; it must be one of value, probability"),
        (with_output(classes=["a"]), r"outputs\[0\]\.classes has 1 items; name at least 2"),
        (with_output(classes=["a", "a"]), r"outputs\[0\]\.classes has 'a' more than once"),
        (
            with_output(classes=["a", "b"], meaning="margin"),
            r"outputs\[0\]\.classes are those of a probability or a label; a margin has none",
        ),
        (with_output(threshold=1.5), r"outputs\[0\]\.threshold is 1\.5; it must be 0 to 1"),
        (
            with_output(threshold=0.5, meaning="probability"),
            r"outputs\[0\]\.threshold decides a label; a probability has none; add an output",
        ),
        (with_output(on_request=True), "outputs are all on_request; leave one that every answer has"),
        (document(artifact={"uri": "https://secret@h/\n"}), r"artifact\.uri has invisible characters; type it again"),
        (document(artifact={"uri": "m", "sha256": "ABC"}), r"artifact\.sha256 is 'ABC'; it must match"),
    ],
)
def test_an_invalid_field_is_one_sentence_that_names_it(wrong: Any, sentence: str) -> None:
    with pytest.raises(InvalidField, match=sentence) as caught:
        parse(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "&a [*a]", "version: 2013-13-45", "\x00", "[" * 100_000, "- " * 100_000, "- ? " * 100_000])
def test_an_invalid_file_is_one_sentence_that_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(InvalidModel, match=r"the model card .*model\.yaml is (not YAML|invalid): .*\.$") as caught:
        load(tmp_path / "model.yaml")
    assert "\n" not in str(caught.value)


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.sampled_from([*map(chr, range(9, 127)), "\x00", "\x85", "- - ", "{{[", "&a *a "])), max_size=6
    )
)
def test_a_damaged_card_is_read_or_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, str]]) -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    for place, letters in edits:
        at = place % len(text)
        text = text[:at] + letters + text[at + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text(text, "utf-8")
    try:
        load(path)
    except InvalidModel as error:
        assert "\n" not in str(error)  # noqa: PT017 the edit may be harmless


def test_the_page_documents_every_field() -> None:
    page = PAGE.read_text("utf-8")
    documented = {match[1] for match in re.finditer(r"^\| `([a-z0-9_.\[\]]+)`", page, re.MULTILINE)}
    wheres = {Card: "", Input: "inputs[].", Output: "outputs[].", Artifact: "artifact."}
    assert documented == {f"{where}{item.name}" for kind, where in wheres.items() for item in fields(kind) if item.compare}
    assert {kind for kind in vars(cards).values() if is_dataclass(kind)} == set(wheres)


def test_the_pages_examples_are_cards() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        parse(yaml.safe_load(example))
