"""The stream worker beside other ways to move events through the same model, on a real Apache Kafka."""
