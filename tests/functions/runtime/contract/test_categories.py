"""Categories of the training frame: a row in every format gets the package's prediction, to the bit."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from eventing.event import Event
from functions.batch import signature, tensors
from functions.runtime.artifacts import loading
from functions.runtime.contract.categories import are_same, datatype_of, spellings_of, text_of
from functions.runtime.contract.encoding import Rows
from functions.runtime.inference.registry import DataPlane
from functions.runtime.inference.served import ServedModel
from functions.runtime.observability.metrics import Metrics
from functions.runtime.protocols import events, v1, v2

COUNT = 300
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/t", "type": "t"}
Send = Callable[[ServedModel, pd.DataFrame], Rows]


def frame_of(library: str) -> pd.DataFrame:
    """A frame of each type of categories; XGBoost supports only strings and integers. Some values are missing."""
    random = np.random.default_rng(11)

    def column(values: list[Any]) -> pd.Series[Any]:
        codes = random.integers(-1, len(values), COUNT)
        return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(values)))

    columns = {"size": pd.Series(random.random(COUNT)), "store": column([100, 102, 101]), "mode": column(["sea", "air"])}
    if library == "lightgbm":
        columns |= {"level": column([0.5, 2.0, 0.1]), "open": column([False, True]), "big": column([2**53, -(2**40), 0])}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module", params=["xgboost", "lightgbm"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """The file, the frame, and the package's prediction for it."""
    frame = frame_of(request.param)
    target = frame["size"] + sum(frame[name].cat.codes * 0.7 for name in frame.columns[1:])
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "xgboost":
        booster = xgb.train({"max_depth": 5}, xgb.DMatrix(frame, target, enable_categorical=True), 10)
        booster.save_model(folder / "m.ubj")
        return folder / "m.ubj", frame, booster.inplace_predict(frame)
    parameters = {"verbose": -1, "min_data_in_leaf": 3, "min_data_per_group": 3, "cat_smooth": 1}
    lgb.train(parameters, lgb.Dataset(frame, target), 10).save_model(folder / "m.txt")
    return folder / "m.txt", frame, np.asarray(lgb.Booster(model_file=folder / "m.txt").predict(frame))


@pytest.fixture(scope="module")
def served(trained: tuple[Path, pd.DataFrame, np.ndarray]) -> ServedModel:
    return DataPlane([(loading.load(trained[0]), lambda: loading.load(trained[0]))], Metrics()).only().model


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `DataFrame.to_json(orient="records")`, with all digits of a number."""
    rows = [[None if value != value else value for value in row] for row in frame.astype(object).to_numpy().tolist()]
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]


def as_objects(model: ServedModel, frame: pd.DataFrame) -> Rows:
    return v1.parse(orjson.loads(orjson.dumps({"instances": records_of(frame)})), model)


def as_pandas_json(model: ServedModel, frame: pd.DataFrame) -> Rows:
    """The rows in pandas' own JSON, where integers with gaps among them are 102.0."""
    return v1.parse({"instances": orjson.loads(frame.to_json(orient="records", double_precision=15))}, model)


def as_lists(model: ServedModel, frame: pd.DataFrame) -> Rows:
    return v1.parse({"instances": [list(row.values()) for row in records_of(frame)]}, model)


def as_events(model: ServedModel, frame: pd.DataFrame) -> Rows:
    """The rows as events, where a missing value is absent."""
    values: array[float] = array(model.encoder.record(records_of(frame)[0]).typecode)
    for row in records_of(frame):
        data = {name: value for name, value in row.items() if value is not None}
        values += events.read(model, Event(ATTRIBUTES, data)).rows.values
    return Rows(values, len(frame))


def as_csv(model: ServedModel, frame: pd.DataFrame) -> Rows:
    """The rows in pandas' CSV, whose cells are strings; numbers are converted."""
    rows = [line.split(",") for line in frame.to_csv(index=False).splitlines()]
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    return model.encoder.objects(
        [{name: None if cell == "" else float(cell) if name == "size" else cell for name, cell in row.items()} for row in objects]
    )


def tensors_of(model: ServedModel, frame: pd.DataFrame, datatypes: dict[str, str]) -> Rows:
    rows = records_of(frame)
    items = [
        {
            "name": item.name,
            "shape": [len(rows)],
            "datatype": datatypes.get(item.datatype, item.datatype),
            "data": [row[item.name] for row in rows],
        }
        for item in model.card.inputs
    ]
    return v2.decode(orjson.dumps({"inputs": items}), None, model).rows


def as_columns(model: ServedModel, frame: pd.DataFrame) -> Rows:
    return tensors_of(model, frame, {})


def as_doubles(model: ServedModel, frame: pd.DataFrame) -> Rows:
    return tensors_of(model, frame, {"INT64": "FP64", "FP32": "FP64"})


def as_binary(model: ServedModel, frame: pd.DataFrame) -> Rows:
    """The rows as binary tensors, with NaN for missing numbers; rows with a missing boolean are left out."""
    items, content = [], b""
    for item in model.card.inputs:
        column = frame[item.name].astype(object)
        if item.datatype == "BYTES":
            datatype = "BYTES"
            made = b"".join(struct.pack("<I", len(text)) + text.encode() for text in column)
        elif item.datatype == "BOOL":
            datatype, made = "BOOL", bytes(map(bool, column))
        else:
            datatype, made = (
                ("INT64", column.to_numpy("<i8").tobytes()) if item.datatype == "INT64" else ("FP64", column.to_numpy("<f8").tobytes())
            )
        items.append({"name": item.name, "shape": [len(frame)], "datatype": datatype, "parameters": {"binary_data_size": len(made)}})
        content += made
    head = orjson.dumps({"inputs": items})
    return v2.decode(head + content, len(head), model).rows


def as_parquet(model: ServedModel, frame: pd.DataFrame, path: Path) -> Rows:
    """The rows as the tensors of the batch job."""
    frame.to_parquet(path)
    table = pq.read_table(path)
    found = signature.parse(orjson.dumps(v2.metadata(model.card, model.outputs, [])))
    inputs = signature.inputs_in(found, table.schema, None, path.name)
    body: Any = tensors.encode(table.combine_chunks().to_batches()[0], inputs, None, 0)
    content, length = body if isinstance(body, tuple) else (body, None)
    return v2.decode(content, length, model).rows


@pytest.mark.parametrize("send", [as_objects, as_pandas_json, as_lists, as_events, as_csv, as_columns, as_doubles, as_binary])
@pytest.mark.parametrize("count", [1, 5, COUNT])
def test_a_row_in_any_format_is_that_of_the_frame(
    send: Send, count: int, trained: tuple[Path, pd.DataFrame, np.ndarray], served: ServedModel
) -> None:
    _, frame, predicted = trained
    if send is as_binary:
        complete = frame.notna().all(axis=1)
        frame, predicted = frame[complete], predicted[complete]
    rows = send(served, frame.head(count))
    values = served._batcher._model.predict(rows.values, rows.count).values
    assert values.tobytes() == predicted[:count].tobytes()


def test_a_column_of_parquet_is_that_of_the_frame(
    trained: tuple[Path, pd.DataFrame, np.ndarray], served: ServedModel, tmp_path: Path
) -> None:
    _, frame, predicted = trained
    rows = as_parquet(served, frame, tmp_path / "frame.parquet")
    assert served._batcher._model.predict(rows.values, rows.count).values.tobytes() == predicted.tobytes()


def test_the_metadata_has_the_type_of_the_categories(trained: tuple[Path, pd.DataFrame, np.ndarray], served: ServedModel) -> None:
    found = {item["name"]: item for item in v2.metadata(served.card, served.outputs, [])["inputs"]}
    expected = {
        "store": ("INT64", "100, 101, 102"),
        "mode": ("BYTES", "air, sea"),
        "level": ("FP64", "0.1, 0.5, 2.0"),
        "open": ("BOOL", "false, true"),
        "big": ("INT64", "-1099511627776, 0, 9007199254740992"),
    }
    for name in trained[1].columns[1:]:
        datatype, categories = found[name]["datatype"], found[name]["parameters"]["categories"]
        assert (datatype, sorted(categories.split(", "))) == (expected[name][0], sorted(expected[name][1].split(", "))), name


@pytest.mark.parametrize(
    ("categories", "datatype"),
    [
        (("a", "b"), "BYTES"),
        ((1, 2), "INT64"),
        ((1, 2**63), "UINT64"),
        ((1, 2.5), "FP64"),
        ((True,), "BOOL"),
        ((True, 1), "BYTES"),
        ((True, "a"), "BYTES"),
        ((), "BYTES"),
    ],
)
def test_the_datatype_is_that_of_all_categories(categories: Any, datatype: str) -> None:
    assert datatype_of(categories) == datatype


@pytest.mark.parametrize(
    ("category", "texts"),
    [(102, ("102",)), (2.0, ("2.0",)), (1e-7, ("1e-7", "1e-07")), (True, ("true", "True")), ("True", ("True",))],
)
def test_a_category_is_spelled_as_in_json_and_in_pandas(category: Any, texts: tuple[str, ...]) -> None:
    assert text_of(category) == texts[0]
    assert spellings_of(category) == texts


def test_true_is_not_the_number_1() -> None:
    assert are_same(1, 1.0)
    assert are_same("true", True)
    assert are_same(2.0, "2.0")
    for one, other in ((True, 1), (False, 0.0), ("1", 1.5), ("a", "b"), ("1.0", 1)):
        assert not are_same(one, other)
        assert not are_same(other, one)
