"""CloudEvents and Kafka: the event, its codecs, replies, dead letters, and Kafka clients."""
