"""Batches of kafka-python in which a record whose headers cannot be read does not make the others unreadable."""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

from eventing.codecs.kafka import UNREADABLE_HEADERS


class ReadableBatches:
    """Fetched records, as the client asks for them."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        if type(batch) is DefaultRecordBatch:
            batch.__class__ = _ReadableBatch
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)


class _ReadableBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch that is read on after a header's name that is not UTF-8: the client would never get beyond it."""

    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            return self._without_headers()

    def _without_headers(self) -> Any:
        batch: Any = self
        buffer, batch._buffer = batch._buffer, _Lenient(batch._buffer)  # noqa: SLF001 of another class only for mypy
        try:
            record = super()._read_msg()
        finally:
            batch._buffer = buffer  # noqa: SLF001
        record._headers = list(UNREADABLE_HEADERS)  # noqa: SLF001 a record cannot be made with them
        return record


class _Lenient(bytearray):
    """Bytes whose parts are any text."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "replace")
