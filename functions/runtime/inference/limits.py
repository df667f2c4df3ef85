"""Defaults of the limits on rows, shared by the data plane and the settings.

The module imports nothing, since the router reads the settings too.
"""

# Of a request: a larger one is better sent in parts, so that replicas can share it.
MAX_ROWS = 100_000
# Of all requests together: about a second of work at 3 us a row.
MAX_WAITING_ROWS = 300_000
