"""The adapter for confluent-kafka, the only modules that import it.

It owns that library's faults and their corrections. Librdkafka inside it works on threads of its own, so that the
interpreter's lock is held only to make and to take records.
"""
