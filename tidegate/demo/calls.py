"""One Open Inference call and one CloudEvent call by HTTP, as by any client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.request import Request

import orjson
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from common.loopback import opener
from eventing.event import Event

# The host by which the gateway finds the router. Browsers and curl resolve names below localhost; other clients may not.
_HOST = "router.localhost"
_SECONDS = 60


def open_inference(gateway: str, model: str, record: Mapping[str, Any], inputs: Mapping[str, str], key: str) -> tuple[str, float]:
    """Score one row by the Open Inference Protocol; `inputs` are the model's datatypes by name.

    Returns (version, score).
    """
    tensors = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [record[name]]} for name, datatype in inputs.items() if name in record
    ]
    headers = {"content-type": "application/json", "tidegate-routing-key": key}
    answer = orjson.loads(_post(f"{gateway}/v2/models/{model}/infer", headers, orjson.dumps({"inputs": tensors}))[1])
    return answer["model_version"], answer["outputs"][0]["data"][0]


def cloudevent(gateway: str, model: str, event: Event) -> tuple[str, float]:
    """Score one event, which the CloudEvents SDK encodes and decodes. Returns (version, score)."""
    message = to_structured_event(CloudEvent(dict(event.attributes), event.data))
    headers, body = _post(f"{gateway}/models/{model}", dict(message.headers), message.body)
    reply = from_http_event(HTTPMessage(headers, body))
    data = reply.get_data()
    assert isinstance(data, dict)  # noqa: S101 the reply's data is JSON
    return str(reply.get_extension("modelversion")), float(data["late"])


def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    request = Request(url, body, {**headers, "host": _HOST})
    with opener(url).open(request, timeout=_SECONDS) as response:
        return {name.lower(): value for name, value in response.headers.items()}, response.read()
