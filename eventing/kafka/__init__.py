"""Kafka behind a port: its protocols and values, one adapter a client library, and an in-memory cluster for tests."""
