"""Event types: every `type` attribute that Tidegate writes or reads. docs and manifests name them too."""

from __future__ import annotations

INFERENCE_COMPLETED = "dev.tidegate.inference.completed"
"""A model's reply to an event."""

INFERENCE_FAILED = "dev.tidegate.inference.failed"
"""A model's reply to an event that it could not handle; the data is a problem (RFC 9457)."""

INFERENCE_REQUEST = "dev.tidegate.inference.request"
"""The body of a request, as sent to the sink of payloads."""

INFERENCE_RESPONSE = "dev.tidegate.inference.response"
"""The body of a response, as sent to the sink of payloads."""

BATCH_REQUESTED = "dev.tidegate.batch.requested"
"""A request for a batch: {model, input, output}, and options such as key."""

BATCH_PROGRESSED = "dev.tidegate.batch.progressed"
"""How far a batch is."""

BATCH_COMPLETED = "dev.tidegate.batch.completed"
"""The output of a batch is there, with its digest."""

BATCH_FAILED = "dev.tidegate.batch.failed"
"""A batch ended without an output; its work can be resumed."""

KNATIVE_PING = "dev.knative.sources.ping"
"""The type of every event of a PingSource, whatever its data."""

KNATIVE_KAFKA_RECORD = "dev.knative.kafka.event"
"""The type that a KafkaSource gives to a record that is not a CloudEvent."""
