"""Kafka: clients, how a broker is reached and entered, and the lag of a consumer group."""
