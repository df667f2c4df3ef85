import math
import struct
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.flights.transform import AIRCRAFT, CATEGORIES, FEATURES, SCHEDULE, WEATHER, transform

FLIGHT: dict[str, Any] = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "scheduled_departure": "2013-01-01T05:15",
    "scheduled_arrival": "2013-01-01T08:19",
    "distance": 1400,
}


def _optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


_numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
_integers = st.integers(-(2**31), 2**31 - 1)
_departures = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 local time at an airport
_minutes = st.integers(0, 1439)


def _times(departure: datetime, minutes: int) -> dict[str, str]:
    arrival = departure + timedelta(minutes=minutes)
    return {"scheduled_departure": departure.isoformat(timespec="minutes"), "scheduled_arrival": arrival.isoformat(timespec="minutes")}


_flights = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(categories) for name, categories in CATEGORIES.items()},
        "distance": _numbers,
    },
    optional={
        **{name: _optional(_numbers) for name in WEATHER},
        "aircraft_year": _optional(_integers),
        "aircraft_seats": _optional(_integers),
        "aircraft_engines": _optional(_integers),
        "aircraft_manufacturer": _optional(st.text()),
    },
)
records = st.builds(lambda flight, *times: flight | _times(*times), _flights, _departures, _minutes)


@given(records)
def test_valid_record_has_every_feature_finite_or_missing(record: dict[str, Any]) -> None:
    features = transform(record)
    assert features.keys() == set(FEATURES)
    assert not any(math.isinf(value) for value in features.values())
    assert not any(math.isnan(features[name]) for name in SCHEDULE)


@given(records)
def test_feature_is_equal_for_json_and_fp32(record: dict[str, Any]) -> None:
    as_fp32 = {name: _fp32(value) if isinstance(value, float) else value for name, value in record.items()}
    assert [_fp32(value) for value in transform(record).values()] == pytest.approx(
        [_fp32(value) for value in transform(as_fp32).values()], abs=0, rel=0, nan_ok=True
    )


def _fp32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def test_timetable_becomes_weekday_and_minutes() -> None:
    features = transform(FLIGHT)
    assert features["weekday"] == 1  # a Tuesday
    assert features["departure_minute"] == 5 * 60 + 15
    assert features["arrival_minute"] == 8 * 60 + 19
    assert features["block_minutes"] == 184
    assert features["carrier"] == CATEGORIES["carrier"].index("UA")


def test_flight_through_midnight_arrives_on_the_next_day() -> None:
    overnight = {**FLIGHT, "scheduled_departure": "2013-12-31T23:55", "scheduled_arrival": "2014-01-01T04:40"}
    assert transform(overnight)["block_minutes"] == 285


@given(_departures, _minutes)
def test_block_minutes_are_the_time_between_the_two_clocks(departure: datetime, minutes: int) -> None:
    assert transform({**FLIGHT, **_times(departure, minutes)})["block_minutes"] == minutes


@pytest.mark.parametrize("arrival", ["2012-12-31T23:00", "2013-01-01T05:14", "2013-01-02T05:15", "2014-01-01T08:19"])
def test_arrival_before_or_a_day_after_the_departure_is_refused(arrival: str) -> None:
    with pytest.raises(ValueError, match=f"scheduled_arrival is '{arrival}'.*2013-01-01"):
        transform({**FLIGHT, "scheduled_arrival": arrival})


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(("temp", "wind_gust", "aircraft_year", "aircraft_manufacturer"), None)])
def test_absent_or_null_input_is_missing(absent: dict[str, Any]) -> None:
    features = transform({**FLIGHT, **absent})
    assert all(math.isnan(features[name]) for name in WEATHER + AIRCRAFT)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [("AIRBUS INDUSTRIE", "Airbus"), ("  boeing", "BOEING"), ("MCDONNELL DOUGLAS CORPORATION", "MCDONNELL DOUGLAS"), ("CESSNA", "Piper")],
)
def test_spellings_of_one_maker_are_one_category(text: str, same_as: str) -> None:
    codes = [transform({**FLIGHT, "aircraft_manufacturer": maker})["aircraft_maker"] for maker in (text, same_as)]
    assert codes[0] == codes[1]


def test_age_is_counted_from_the_departure() -> None:
    assert transform({**FLIGHT, "aircraft_year": 1999})["aircraft_age"] == 14


@pytest.mark.parametrize("field", ["scheduled_departure", "scheduled_arrival"])
@pytest.mark.parametrize("value", ["", "yesterday", "2013-11-01", "2013-11-31T05:15", "2013-11-01 05:15", "2013-11-01T05:15Z", 515])
def test_invalid_time_is_named_with_an_example(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field) as raised:
        transform({**FLIGHT, field: value})
    assert repr(value) in str(raised.value)
    assert "2013-11-01T05:15" in str(raised.value)


@given(st.text())
def test_any_other_string_as_a_time_is_a_value_error(text: str) -> None:
    try:
        transform({**FLIGHT, "scheduled_departure": text})
    except ValueError as error:
        assert "scheduled_departure" in str(error)  # noqa: PT017 most texts are no time, but some are


@pytest.mark.parametrize("field", CATEGORIES)
def test_unknown_category_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is '\\?\\?'"):
        transform({**FLIGHT, field: "??"})


def test_transform_imports_nothing_heavy() -> None:
    code = "import sys, functions.flights.transform; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "yaml", "xgboost", "pyarrow"} & set(modules)
