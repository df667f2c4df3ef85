"""Apache Kafka as a child process, downloaded once: the broker of `tidegate up --kafka apache`."""
