"""The records of the input: departures of the example, as CloudEvents in the binary mode of the Kafka binding. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import orjson

from eventing.types import INFERENCE_COMPLETED

PARTITIONS = 12
KEYS = 5_000
FAILING = b"N-FAILING"
"""The key whose events the function of `loadtest.stream.failing` does not take."""
_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"com.example.flight.departed"),
    ("ce_source", b"/airlines/UA"),
    ("content-type", b"application/json"),
)


class Records:
    """Departures by their number. Equal keys are in one partition."""

    def __init__(self, partitions: int = PARTITIONS, keys: int = KEYS, failing_every: int = 0) -> None:
        self._partitions = partitions
        self._keys = keys
        self._failing_every = failing_every
        # The number takes the place of the last member's value.
        self._value = orjson.dumps({**departure(), "tailnum": "N14228", "flight": 0})[:-2]

    def key(self, number: int) -> bytes:
        """The key: with `failing_every`, each such record has the failing one."""
        if self._failing_every and number % self._failing_every == 0:
            return FAILING
        return b"N%d" % (number % self._keys)

    def partition(self, number: int) -> int:
        return number % self._keys % self._partitions

    def value(self, number: int) -> bytes:
        """The data: its `flight` is the number, by which other ways than the worker name their results."""
        return b"%b%d}" % (self._value, number)

    @staticmethod
    def headers(number: int) -> list[tuple[str, bytes]]:
        return [*_HEADERS, ("ce_id", b"%d" % number)]


def departure() -> dict[str, Any]:
    """Return the contract's example."""
    tensors = orjson.loads(files("loadtest").joinpath("scenarios/flights.json").read_bytes())["inputs"]
    return {tensor["name"]: tensor["data"][0] for tensor in tensors}


def reply(number: object, score: float) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the value and headers of a result, as large as those of the worker."""
    name = f"{number}".encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", INFERENCE_COMPLETED.encode()),
        ("ce_source", b"/models/flights"),
        ("ce_id", b"%064d" % int(name)),
        ("ce_causationid", name),
        ("ce_modelversion", b"v1"),
        ("content-type", b"application/json"),
    ]
    return orjson.dumps({"late": score}), headers


def cause(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """Return the id of the event that a result answers; None if it does not name it."""
    return next((value for name, value in headers if name == "ce_causationid"), None)


def data_of(value: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(value)
    return found
