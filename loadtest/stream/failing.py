"""`python -m loadtest.stream.failing PORT`: a function that answers every event but those of one key with a score.

Those get a failure that is worth a retry, however often they come.
"""

from __future__ import annotations

import sys

import uvloop

from eventing.codecs import json
from eventing.event import Event
from eventing.reply import Problem, completed, failed
from loadtest.compare.noop import response, serve
from loadtest.stream.records import FAILING

_MODEL = "flights"
_KEY = FAILING.decode()


def answer(request: bytes) -> bytes:
    """Return the response to a whole request with a batch of events."""
    events = json.decode_batch(request.partition(b"\r\n\r\n")[2])
    return response(json.BATCH_MEDIA_TYPE.encode(), json.encode_batch([_reply(event) for event in events]))


def _reply(event: Event) -> Event:
    if event.attributes.get("partitionkey") == _KEY:
        return failed(event, _MODEL, Problem(503, "unavailable", "the model is not ready for this key."), "v1")
    return completed(event, _MODEL, "v1", {"late": 0.25})


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), answer))
