"""Limits that several packages share: the defaults of settings, and the size of work for other threads.

The module imports nothing, since the router reads them too.
"""

# Of a request: a larger one is better sent in parts, so that replicas can share it.
MAX_ROWS = 100_000
# Of all requests together: about a second of work at 3 us a row.
MAX_WAITING_ROWS = 300_000
# Parsing or writing this much JSON takes a millisecond or more, during which the event loop would serve no other
# request.
OFF_LOOP_BYTES = 32 * 1024
