"""The check of a response: the rules that hold for every request."""

from __future__ import annotations

import math
from typing import Any

import orjson

from loadtest.fuzz.wire import Reply, Request

STATUSES = frozenset({200, 400, 404, 405, 413, 415, 422, 429, 431})
# A sentence of 500 characters, each of which may be written as an escape of six.
_LONGEST_REFUSAL = 4_000


def verdict(request: Request, reply: Reply | None, *, behind_gateway: bool = False) -> str:
    """Return the fault of a response; empty without one. A gateway may refuse invalid HTTP in its own words."""
    if reply is None:
        return "no answer"
    if reply.status not in STATUSES:
        return f"status {reply.status}: {reply.body[:300]!r}"
    if behind_gateway and reply.status == 400 and "text/plain" in reply.headers.get("content-type", ""):
        return ""
    try:
        return _refusal(reply) if reply.status != 200 else _answer(request, reply)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"no well-formed answer ({error!r}): {reply.body[:300]!r}"


def _refusal(reply: Reply) -> str:
    document = orjson.loads(reply.body)
    sentence = document["detail"] if "problem" in reply.headers["content-type"] else document["error"]
    if not isinstance(sentence, str) or not sentence or len(reply.body) > _LONGEST_REFUSAL:
        return f"a refusal that is not a short sentence: {reply.body[:300]!r}"
    return ""


def _answer(request: Request, reply: Reply) -> str:
    if request.path.endswith("/infer"):
        counts = _tensors(reply)
    elif request.path.endswith(":predict"):
        counts = {len(orjson.loads(reply.body)["predictions"])}
    else:
        counts = _events(reply)
    if len(counts) > 1 or (request.rows is not None and counts and counts != {request.rows}):
        return f"answers for {sorted(counts)} rows, {request.rows} were sent"
    return ""


def _tensors(reply: Reply) -> set[int]:
    """Return the numbers of rows of the outputs. Raises ValueError when shapes and data differ."""
    length = int(reply.headers.get("inference-header-content-length", len(reply.body)))
    document = orjson.loads(reply.body[:length])
    following = 0
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        following += size or 0
        if size is None and len(output["data"]) != math.prod(output["shape"]):
            raise ValueError(f"{output['name']} has {len(output['data'])} values, its shape is {output['shape']}")
    if following != len(reply.body) - length:
        raise ValueError(f"{len(reply.body) - length} bytes follow the JSON part, not {following}")
    return {output["shape"][0] for output in document["outputs"]}


def _events(reply: Reply) -> set[int]:
    """Return the number of replies of a batch. A single event's rows depend on its data, so they are not compared."""
    document: Any = orjson.loads(reply.body)
    if "batch" in reply.headers["content-type"]:
        for event in document:
            _ = event["id"], event["type"], event["data"], event["causationid"]
        return {len(document)}
    if "cloudevents" in reply.headers["content-type"]:
        _ = document["id"], document["type"], document["data"]
    elif "ce-id" not in reply.headers:
        raise ValueError("a reply that is not an event")
    return set()
