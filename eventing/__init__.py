"""CloudEvents and Kafka: the event, its types and codecs, replies, dead letters, keys, and Kafka clients."""
