"""An in-memory Kafka cluster for tests: the port's contract without a process, a socket or a wait."""
