"""One scenario on `tidegate up` and on a cluster, whose every difference is written in it, with the reason.

Steps build on each other: run the whole file. On a cluster (`-m e2e`) it has the requirements of tests/e2e.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes

from tests.differential.sides import Side

Object = dict[str, Any]
SCENARIO: Object = yaml.safe_load((Path(__file__).parent / "scenario.yaml").read_text("utf-8"))
STEPS: list[Object] = SCENARIO["steps"]
KINDS = ("request", "create", "patch", "delete", "read", "zero")
GROUP = ("serving.knative.dev", "v1")
REFUSED = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed:'
# A mapping with this key may have other keys as well.
OTHERS = "<others>"
# Longest is the way of a service to zero.
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def seen(self) -> Object:
        """The response in the form of a step's `expect`."""
        content = self.body.decode("utf-8", "backslashreplace")
        try:
            value = {"json": json.loads(content)}
        except ValueError:
            value = {"text": content}
        return {"status": self.status, "headers": {**self.headers, OTHERS: ""}, **value}


@pytest.mark.parametrize("step", STEPS, ids=[step["name"] for step in STEPS])
def test_step(side: Side, step: Object) -> None:
    step = filled(step, side)
    expected = {**step["expect"], **step.get("differs", {}).get(side.name, {})}
    (kind,) = (kind for kind in KINDS if kind in step)
    ACTIONS[kind](side, step[kind], expected)


@pytest.mark.parametrize("step", [step for step in STEPS if "differs" in step], ids=lambda step: step["name"])
def test_difference_names_both_sides_and_the_reason(step: Object) -> None:
    assert step["differs"].keys() == {"local", "cluster", "because"}
    assert step["differs"]["local"] != step["differs"]["cluster"]


def test_step_names_are_unique() -> None:
    assert len({step["name"] for step in STEPS}) == len(STEPS)


def filled(value: Any, side: Side) -> Any:
    """Replace `<domain>`, `<namespace>` and `<image NAME>` by those of the side, and `<refused>` by REFUSED."""
    if isinstance(value, dict):
        return {filled(key, side): filled(item, side) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, side) for item in value]
    if isinstance(value, str):
        text = value.replace("<domain>", side.domain).replace("<namespace>", side.namespace).replace("<refused>", REFUSED)
        return re.sub(r"<image (\w+)>", lambda match: side.images.get(match[1], match[1]), text)
    return value


def difference(expected: Any, actual: Any, where: str = "") -> str | None:
    """The first difference, if any.

    An expected string that begins with `~` is a regular expression; null means that the key is missing.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        return next((found for found in _differences(expected, actual, where) if found), None)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((found for index, pair in pairs if (found := difference(*pair, f"{where}[{index}]"))), None)
    if isinstance(expected, str) and expected.startswith("~") and isinstance(actual, str):
        same = re.search(expected[1:].strip(), actual) is not None
    else:
        same = expected == actual
    return None if same else f"{where or 'it'} is {actual!r}, expected {expected!r}"


def _differences(expected: Object, actual: Object, where: str) -> Iterator[str | None]:
    for key, value in expected.items():
        if key != OTHERS:
            yield difference(value, actual.get(key), f"{where}.{key}")
    if OTHERS not in expected and (more := {key: item for key, item in actual.items() if key not in expected}):
        yield f"{where or 'it'} also has {more!r}"


def until(check: Callable[[], str | None]) -> None:
    """Poll until nothing differs, since an ingress and the end of a pod send no event."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while found := check():
        assert time.monotonic() < end, found
        time.sleep(0.1)


def request(side: Side, wanted: Object, expected: Object) -> None:
    """Send a request `times` times, and `eventually` again until the responses are as expected.

    `distinct` are all values of a key in the JSON of the responses.
    """

    def send() -> str | None:
        answers = [answer(side, wanted) for _ in range(wanted.get("times", 1))]
        for found in answers:
            if wrong := difference(expectation, _expected_parts(expectation, found.seen())):
                return f"{wrong} in {found}"
        seen = {key: sorted({json.loads(found.body)[key] for found in answers}) for key in distinct}
        return difference(distinct, seen)

    distinct = expected.get("distinct", {})
    expectation = {key: value for key, value in expected.items() if key != "distinct"}
    expectation |= {"headers": {**expected["headers"], OTHERS: ""}} if "headers" in expected else {}
    if wanted.get("eventually"):
        until(send)
    else:
        wrong = send()
        assert not wrong, wrong


def _expected_parts(expected: Object, seen: Object) -> Object:
    """The parts of a response that the step expects; the others may have any value."""
    return {key: seen.get(key) for key in expected}


def answer(side: Side, wanted: Object) -> Answer:
    label = "-".join(part for part in (wanted.get("tag"), wanted.get("service")) if part)
    body = payload(wanted)
    with closing(HTTPConnection(*side.ingress, timeout=60)) as connection:
        method = wanted.get("method", "GET" if body is None else "POST")
        connection.putrequest(method, wanted["path"], skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", wanted.get("host") or f"{label}.{side.domain}")
        if "json" in wanted:
            connection.putheader("Content-Type", wanted.get("type", "application/json"))
        if "tail" in wanted:
            connection.putheader("Inference-Header-Content-Length", str(len(json.dumps(wanted["json"]))))
        for name, value in wanted.get("headers", {}).items():
            connection.putheader(name, value)
        _send(connection, wanted, body)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def payload(wanted: Object) -> bytes | None:
    """The body: `json`, followed by the bytes of binary tensors in `tail`; or a `text`; or a number of `spaces`."""
    if "json" in wanted:
        return json.dumps(wanted["json"]).encode() + base64.b64decode(wanted.get("tail", ""))
    if "text" in wanted:
        return str(wanted["text"]).encode()
    return b" " * wanted["spaces"] if "spaces" in wanted else None


def _send(connection: HTTPConnection, wanted: Object, body: bytes | None) -> None:
    if wanted.get("chunked"):
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders([body[:10], body[10:]] if body else [], encode_chunked=True)
        return
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    if wanted.get("waits"):
        # The body is sent only after the request for it.
        assert connection.sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 100"
    connection.send(body or b"")


def create(side: Side, item: Object, expected: Object) -> None:
    refused_or_not(
        expected, lambda: side.api.create_namespaced_custom_object(*GROUP, side.namespace, "services", item, field_validation="Strict")
    )


def patch(side: Side, change: Object, expected: Object) -> None:
    """Patch a service: `merge` is a JSON merge patch, `operations` a JSON patch."""
    body = change.get("merge", change.get("operations"))
    kind = "application/merge-patch+json" if "merge" in change else "application/json-patch+json"
    where = (*GROUP, side.namespace, "services", change["service"])
    options = {"field_validation": "Strict", "_content_type": kind}
    refused_or_not(expected, lambda: side.api.patch_namespaced_custom_object(*where, body, **options))


def delete(side: Side, name: str, expected: Object) -> None:
    refused_or_not(expected, lambda: side.api.delete_namespaced_custom_object(*GROUP, side.namespace, "services", name))


def refused_or_not(expected: Object, act: Callable[[], Any]) -> None:
    """Compare the result of an API call.

    `status` is the HTTP status, 200 for success; `message` and `reason` are those of the `Status`.
    """
    try:
        act()
    except kubernetes.ApiException as error:
        refusal = json.loads(error.body or "{}")
        seen = {"status": error.status, "message": refusal.get("message"), "reason": refusal.get("reason")}
    else:
        seen = {"status": 200}
    wrong = difference(expected, _expected_parts(expected, seen) | {"status": seen["status"]})
    assert not wrong, f"{wrong} in {seen}"


def read(side: Side, what: Object, expected: Object) -> None:
    """Wait for the expected status of a Service or a Revision; `conditions` are by type."""
    (resource, name), *_ = what.items()

    def compare() -> str | None:
        try:
            item = side.api.get_namespaced_custom_object(*GROUP, side.namespace, resource, name)
        except kubernetes.ApiException as error:
            return difference(expected, {"absent": error.status == 404})
        wrong = difference({**expected, OTHERS: ""}, status_of(item))
        return wrong and f"{wrong} in {json.dumps(item.get('status'))}"

    until(compare)


def status_of(item: Object) -> Object:
    """The status of the newest generation, or an empty one while there is only that of an older one."""
    status = item.get("status", {})
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return {}
    conditions = {one["type"]: {key: one.get(key) for key in ("status", "reason", "message")} for one in status.get("conditions", [])}
    return {**status, "conditions": {kind: {key: text for key, text in one.items() if text} for kind, one in conditions.items()}}


def zero(side: Side, services: list[str], expected: Object) -> None:
    until(lambda: difference(expected, {"replicas": [side.replicas(name) for name in services]}))


ACTIONS: dict[str, Callable[[Side, Any, Object], None]] = {
    "request": request,
    "create": create,
    "patch": patch,
    "delete": delete,
    "read": read,
    "zero": zero,
}
