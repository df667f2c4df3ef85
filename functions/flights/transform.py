"""Conversion of a departure event to the features of the model, in training and in serving.

Plain Python, since every import in the serving process lengthens the cold start. An FP32 input is passed unchanged: a
value computed from it in double precision would differ between a JSON number and the same number in an FP32 tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The position of a category is its code, in the artifact too. The trainer copies the categories into the card.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "carrier": _codes("9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"),
    "origin": _codes("EWR JFK LGA"),
    "dest": _codes(
        "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT CMH CRW CVG DAY DCA DEN DFW "
        "DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX LAS LAX LEX LGA LGB MCI MCO MDW MEM MHT MIA MKE MSN MSP "
        "MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI PDX PHL PHX PIT PSE PSP PVD PWM RDU RIC ROC RSW SAN SAT SAV SBN SDF SEA SFO SJC SJU "
        "SLC SMF SNA SRQ STL STT SYR TPA TUL TVC TYS XNA"
    ),
}
# Makers by the first word of the text; all others share one more code.
MAKERS = ("AIRBUS", "BOEING", "BOMBARDIER", "CANADAIR", "EMBRAER", "MCDONNELL")

SCHEDULE = ("carrier", "origin", "dest", "distance", "weekday", "departure_minute", "arrival_minute", "block_minutes")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
AIRCRAFT = ("aircraft_age", "aircraft_seats", "aircraft_engines", "aircraft_maker")
FEATURES = SCHEDULE + WEATHER + AIRCRAFT
CATEGORICAL = frozenset({*CATEGORIES, "aircraft_maker"})

_CATEGORY_CODES = {name: {text: float(code) for code, text in enumerate(texts)} for name, texts in CATEGORIES.items()}
_MAKER_CODES = {text: float(code) for code, text in enumerate(MAKERS)}
_OTHER_MAKER = float(len(MAKERS))
_NAN = float("nan")


def transform(record: Mapping[str, Any]) -> dict[str, float]:
    """Return all of FEATURES for a record with the required inputs; an optional input that is missing becomes NaN.

    Times are minutes, of the local day or between the two local clocks. Raises ValueError, naming the input, for an
    unknown category, an invalid time, and an arrival that is not within the day after the departure.
    """
    departure = _local_time(record, "scheduled_departure")
    arrival = _local_time(record, "scheduled_arrival")
    departure_minute = departure.hour * 60 + departure.minute
    arrival_minute = arrival.hour * 60 + arrival.minute
    block_minutes = (arrival.toordinal() - departure.toordinal()) * 1440 + arrival_minute - departure_minute
    if not 0 <= block_minutes < 1440:
        raise ValueError(
            f"scheduled_arrival is {record['scheduled_arrival']!r}; it must be on the date of the departure, {departure.date()},"
            " or on the next if its clock time is earlier."
        )
    get = record.get
    features = {
        "carrier": _code(record, "carrier"),
        "origin": _code(record, "origin"),
        "dest": _code(record, "dest"),
        "distance": float(record["distance"]),
        "weekday": float(departure.weekday()),
        "departure_minute": float(departure_minute),
        "arrival_minute": float(arrival_minute),
        "block_minutes": float(block_minutes),
        "aircraft_age": _NAN if (year := get("aircraft_year")) is None else float(departure.year - year),
        "aircraft_seats": _NAN if (seats := get("aircraft_seats")) is None else float(seats),
        "aircraft_engines": _NAN if (engines := get("aircraft_engines")) is None else float(engines),
        "aircraft_maker": _maker(get("aircraft_manufacturer")),
    }
    for name in WEATHER:
        value = get(name)
        features[name] = _NAN if value is None else float(value)
    return features


def _code(record: Mapping[str, Any], name: str) -> float:
    try:
        return _CATEGORY_CODES[name][record[name]]
    except (KeyError, TypeError):
        known = CATEGORIES[name]
        raise ValueError(f"{name} is {record[name]!r}; it must be one of {len(known)} codes such as {known[1]!r}.") from None


def _local_time(record: Mapping[str, Any], name: str) -> datetime:
    text = record[name]
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        time = None
    # fromisoformat also accepts a date alone and an offset from UTC; neither is the local time at the airport.
    if time is None or time.tzinfo is not None or len(text) < 16 or text[10] != "T":
        raise ValueError(f"{name} is {text!r}; it must be the local time at the airport, such as '2013-11-01T05:15'.")
    return time


def _maker(text: str | None) -> float:
    words = text.split(None, 1) if text else ()
    return _MAKER_CODES.get(words[0].upper(), _OTHER_MAKER) if words else _NAN
