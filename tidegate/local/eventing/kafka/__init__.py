"""What lives in Kafka: Brokers and their Triggers, KafkaSinks and KafkaSources."""
