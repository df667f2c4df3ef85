"""Kafka and CloudEvents: events, their codecs, and the stream worker that moves a topic through a model."""
