"""A server behind all revisions of a model, which answers with the tag that it was called by.

`python -m loadtest.router.arms PORT`. A batch of events is answered with an event for each, anything else with JSON.
"""

from __future__ import annotations

import re
import sys

import orjson
import uvloop

from loadtest.compare import noop

_HOST = re.compile(rb"\r\nhost: *([a-z0-9]+)-", re.IGNORECASE)
_BATCH = b"application/cloudevents-batch+json"


def answer(request: bytes) -> bytes:
    """Return the whole response to a request: the label before the first hyphen of its host, as `tag`."""
    head, _, body = request.partition(b"\r\n\r\n")
    found = _HOST.search(head)
    data = {"tag": found[1].decode() if found else ""}
    if not body.startswith(b"["):
        return noop.response(b"application/json", orjson.dumps(data))
    replies = [
        {"specversion": "1.0", "id": f"reply-{event['id']}", "source": "/models", "type": "done", "causationid": event["id"], "data": data}
        for event in orjson.loads(body)
    ]
    return noop.response(_BATCH, orjson.dumps(replies))


if __name__ == "__main__":
    uvloop.run(noop.serve(int(sys.argv[1]), answer))
