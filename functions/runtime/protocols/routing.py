"""The names of routing keys and revisions in requests and responses of the Open Inference Protocol, for the router.

They are apart from v2.py, whose imports the router and the batch job do without.
"""

from __future__ import annotations

# The parameter of a request with a routing key for each row.
KEYS = "routing_keys"
# The output of a response with the revision of each row.
REVISION = "revision"
