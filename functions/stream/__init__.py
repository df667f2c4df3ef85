"""The stream worker: moves a Kafka topic through a model into another topic."""
