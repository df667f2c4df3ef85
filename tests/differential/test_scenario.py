"""One scenario, step by step, on `tidegate up` and on a cluster: what differs is written in it, with the reason, and nothing else does.

Steps build on each other: run the file, not one of them. On a cluster (`-m e2e`) it needs what tests/e2e needs.
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
# A mapping with this key may have more keys than are named.
OTHERS = "<others>"
# What takes longest is a service on its way to zero.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have lower-case names; `text` is the body, without a JSON's spaces."""

    status: int
    headers: dict[str, str]
    body: bytes

    def seen(self) -> Object:
        """As a step expects it."""
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
def test_what_differs_is_told_for_both_sides_with_the_reason(step: Object) -> None:
    assert step["differs"].keys() == {"local", "cluster", "because"}
    assert step["differs"]["local"] != step["differs"]["cluster"]


def test_names_of_steps_are_unique() -> None:
    assert len({step["name"] for step in STEPS}) == len(STEPS)


def filled(value: Any, side: Side) -> Any:
    """With the place's own names for `<domain>`, `<namespace>` and `<image NAME>`; `<refused>` is how Knative's webhook begins."""
    if isinstance(value, dict):
        return {filled(key, side): filled(item, side) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, side) for item in value]
    if isinstance(value, str):
        text = value.replace("<domain>", side.domain).replace("<namespace>", side.namespace).replace("<refused>", REFUSED)
        return re.sub(r"<image (\w+)>", lambda match: side.images.get(match[1], match[1]), text)
    return value


def difference(expected: Any, actual: Any, where: str = "") -> str | None:
    """What is not as expected, if anything is. A text that begins with `~` is a regular expression, null is a key that is not there."""
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
        yield f"{where or 'it'} has {more!r} besides"


def until(check: Callable[[], str | None]) -> None:
    """Until nothing differs; an ingress and a pod's end tell nobody when they are there."""
    end = time.monotonic() + PATIENCE_SECONDS
    while found := check():
        assert time.monotonic() < end, found
        time.sleep(0.1)


def request(side: Side, wanted: Object, expected: Object) -> None:
    """`times` asks so often, and `distinct` names all that the answers' JSON has for a key; `eventually` asks until it is right."""

    def ask() -> str | None:
        answers = [answer(side, wanted) for _ in range(wanted.get("times", 1))]
        for found in answers:
            if wrong := difference(expectation, _asked_for(expectation, found.seen())):
                return f"{wrong} in {found}"
        seen = {key: sorted({json.loads(found.body)[key] for found in answers}) for key in distinct}
        return difference(distinct, seen)

    distinct = expected.get("distinct", {})
    expectation = {key: value for key, value in expected.items() if key != "distinct"}
    expectation |= {"headers": {**expected["headers"], OTHERS: ""}} if "headers" in expected else {}
    if wanted.get("eventually"):
        until(ask)
    else:
        wrong = ask()
        assert not wrong, wrong


def _asked_for(expected: Object, seen: Object) -> Object:
    """Headers and bodies that a step says nothing about may be anything."""
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
    """`json`, and behind it the bytes of binary tensors, `tail`; or a `text`; or as many `spaces`."""
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
        # The body is sent only when somebody has asked for it.
        assert connection.sock.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 100"
    connection.send(body or b"")


def create(side: Side, item: Object, expected: Object) -> None:
    refused_or_not(
        expected, lambda: side.api.create_namespaced_custom_object(*GROUP, side.namespace, "services", item, field_validation="Strict")
    )


def patch(side: Side, change: Object, expected: Object) -> None:
    """`merge` is a JSON merge patch, `operations` a JSON patch."""
    body = change.get("merge", change.get("operations"))
    kind = "application/merge-patch+json" if "merge" in change else "application/json-patch+json"
    where = (*GROUP, side.namespace, "services", change["service"])
    options = {"field_validation": "Strict", "_content_type": kind}
    refused_or_not(expected, lambda: side.api.patch_namespaced_custom_object(*where, body, **options))


def delete(side: Side, name: str, expected: Object) -> None:
    refused_or_not(expected, lambda: side.api.delete_namespaced_custom_object(*GROUP, side.namespace, "services", name))


def refused_or_not(expected: Object, act: Callable[[], Any]) -> None:
    """`status` is the HTTP status, 200 for all that was done; `message` and `reason` are those of the Kubernetes `Status`."""
    try:
        act()
    except kubernetes.ApiException as error:
        refusal = json.loads(error.body or "{}")
        seen = {"status": error.status, "message": refusal.get("message"), "reason": refusal.get("reason")}
    else:
        seen = {"status": 200}
    wrong = difference(expected, _asked_for(expected, seen) | {"status": seen["status"]})
    assert not wrong, f"{wrong} in {seen}"


def read(side: Side, what: Object, expected: Object) -> None:
    """A Service's or a Revision's status, as soon as it is as expected; `conditions` by their type."""
    (resource, name), *_ = what.items()

    def look() -> str | None:
        try:
            item = side.api.get_namespaced_custom_object(*GROUP, side.namespace, resource, name)
        except kubernetes.ApiException as error:
            return difference(expected, {"absent": error.status == 404})
        wrong = difference({**expected, OTHERS: ""}, status_of(item))
        return wrong and f"{wrong} in {json.dumps(item.get('status'))}"

    until(look)


def status_of(item: Object) -> Object:
    """The newest status; that of an older generation is none yet."""
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
