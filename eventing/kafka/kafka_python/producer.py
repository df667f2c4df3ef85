"""The port's producer by kafka-python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaError as ClientError
from kafka.record.default_records import DefaultRecordBatchBuilder

from eventing.codecs.kafka import Message
from eventing.kafka.errors import KafkaError
from eventing.kafka.kafka_python.errors import translate, translate_errors
from eventing.kafka.port import Delivery


class ProducerAdapter:
    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, topic: str, message: Message, partition: int | None = None) -> Delivery:
        key, value = message.key, message.value
        if value is None and key is None:
            value = b""  # the client writes no record without both
        try:
            return DeliveryAdapter(self._client.send(topic, value, key, message.headers, partition))
        except ClientError as error:  # inline: a context manager for each record costs throughput
            raise translate(error) from error

    def partitions_for(self, topic: str) -> set[int]:
        with translate_errors():
            return set(self._client.partitions_for(topic))

    def batch_bytes(self, message: Message) -> int:
        return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(message.key, message.value, message.headers))

    def flush(self, timeout_seconds: float) -> None:
        with translate_errors():
            self._client.flush(timeout=timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        with translate_errors():
            self._client.close(timeout_seconds)


class DeliveryAdapter:
    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    @property
    def offset(self) -> int | None:
        value = self._future.value
        return None if value is None else int(value.offset)

    @property
    def partition(self) -> int | None:
        value = self._future.value
        return None if value is None else int(value.partition)

    @property
    def error(self) -> KafkaError | None:
        error = self._future.exception
        return None if error is None else translate(error)

    def add_done_callback(self, callback: Callable[[Delivery], None]) -> None:
        self._future.add_both(lambda _: callback(self))
