"""The names by which rows are routed one by one: what a request of the Open Inference Protocol carries, and what the router adds."""

from __future__ import annotations

# The parameter of a request with a routing key for each row.
KEYS = "routing_keys"
# The output of an answer that names the revision of each row.
REVISION = "revision"
