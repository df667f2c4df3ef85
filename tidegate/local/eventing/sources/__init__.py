"""Sources of events other than Kafka, and SinkBindings."""
