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

OUTCOME_OBSERVED = "dev.tidegate.outcome.observed"
"""What a router observed of the arms of a model in a second (eventing/outcome.py)."""

OUTCOME_LABELLED = "dev.tidegate.outcome.labelled"
"""What truly happened, for a prediction of a model (eventing/label.py)."""

ROLLOUT_STARTED = "dev.tidegate.rollout.started"
"""A rollout began."""

ROLLOUT_ADVANCED = "dev.tidegate.rollout.advanced"
"""The canary got its next share, with the evidence for it."""

ROLLOUT_HELD = "dev.tidegate.rollout.held"
"""The canary keeps its share until a person decides, with the reason."""

ROLLOUT_PROMOTED = "dev.tidegate.rollout.promoted"
"""The canary has all traffic: it is the stable revision now."""

ROLLOUT_ROLLED_BACK = "dev.tidegate.rollout.rolledback"
"""The canary has no traffic any more, with the evidence against it."""

ROLLOUT_INCONCLUSIVE = "dev.tidegate.rollout.inconclusive"
"""A rollout reached its deadline without a decision."""

DEADLETTER_CLAIMED = "dev.tidegate.deadletter.claimed"
"""A run is about to replay these dead letters; it is a record of their own topic."""

DEADLETTER_RELEASED = "dev.tidegate.deadletter.released"
"""A run has not replayed dead letters that it had claimed."""

DEADLETTER_REPLAYED = "dev.tidegate.deadletter.replayed"
"""These dead letters were replayed, which is not to say that they succeeded."""

DEADLETTER_DISCARDED = "dev.tidegate.deadletter.discarded"
"""A person has dealt with these dead letters in another way."""

KNATIVE_PING = "dev.knative.sources.ping"
"""The type of every event of a PingSource, whatever its data."""

KNATIVE_KAFKA_RECORD = "dev.knative.kafka.event"
"""The type that a KafkaSource gives to a record that is not a CloudEvent."""
