"""The actions of a step on a side, by the step's key: `request`, `probe`, `create`, `patch`, `delete`, `read`, `columns`, `zero`, and
those of records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client as kubernetes

from tests.differential.calls import answer
from tests.differential.comparison import OTHERS, Object, difference, expected_parts
from tests.differential.records import produce, records, topics
from tests.differential.sides import GROUPS, Side
from tests.differential.waiting import until

# Between two probes: a lost one is sent again.
_PROBE_SECONDS = 2.0


def request(side: Side, wanted: Object, expected: Object) -> None:
    """Send a request `times` times, and `eventually` again until the responses are as expected.

    `distinct` are all values of a key in the JSON of the responses.
    """

    def send() -> str | None:
        answers = [answer(side, wanted) for _ in range(wanted.get("times", 1))]
        for found in answers:
            if wrong := difference(expectation, expected_parts(expectation, found.seen())):
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


def probe(side: Side, wanted: Object, expected: Object) -> None:
    """Send `events` to an `address` until each of the recorder's `paths` has received one.

    On a cluster the parts that deliver events learn of a Trigger some time after it is ready.
    """
    service, missing = wanted.get("service", "recorder"), set(wanted["paths"])

    def send() -> str | None:
        for event in wanted["events"]:
            headers = {"ce-specversion": "1.0", "ce-id": "probe", "ce-source": "/probe", **event}
            answer(side, {"address": wanted["address"], "headers": headers, "text": ""})
        end = time.monotonic() + _PROBE_SECONDS
        while missing and time.monotonic() < end:
            missing.difference_update([path for path in missing if _probed(side, service, path)])
        return f"nothing has arrived at {sorted(missing)}" if missing else None

    assert expected == {"arrived": True}
    until(send)


def _probed(side: Side, service: str, path: str) -> bool:
    return answer(side, {"service": service, "path": f"/probes/{path}"}).body not in (b"0", b"")


def create(side: Side, items: Object | list[Object], expected: Object) -> None:
    """Create an object, or several, each of which has the expected result."""
    for item in items if isinstance(items, list) else [items]:
        refused_or_not(expected, lambda item=item: side.create(item))  # type: ignore[misc]


def patch(side: Side, change: Object, expected: Object) -> None:
    """Patch an object, such as that of the key `service`: `merge` is a JSON merge patch, `operations` a JSON patch."""
    body = change.get("merge", change.get("operations"))
    kind = "application/merge-patch+json" if "merge" in change else "application/json-patch+json"
    ((resource, name),) = ((f"{key}s", value) for key, value in change.items() if f"{key}s" in GROUPS)
    where = (*GROUPS[resource], side.namespace, resource, name)
    options = {"field_validation": "Strict", "_content_type": kind}
    refused_or_not(expected, lambda: side.api.patch_namespaced_custom_object(*where, body, **options))


def delete(side: Side, what: Object, expected: Object) -> None:
    """Delete an object, such as `{services: echo}`."""
    ((resource, name),) = what.items()
    refused_or_not(expected, lambda: side.api.delete_namespaced_custom_object(*GROUPS[resource], side.namespace, resource, name))


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
    wrong = difference(expected, expected_parts(expected, seen) | {"status": seen["status"]})
    assert not wrong, f"{wrong} in {seen}"


def read(side: Side, what: Object, expected: Object) -> None:
    """Wait for the expected status of an object, or of each in a list of names; `conditions` are by type."""
    ((resource, names),) = what.items()
    for name in names if isinstance(names, list) else [names]:

        def compare(name: str = name) -> str | None:
            try:
                item = side.get(resource, name)
            except kubernetes.ApiException as error:
                return difference(expected, {"absent": error.status == 404})
            wrong = difference({**expected, OTHERS: ""}, status_of(item))
            return wrong and f"{wrong} in {json.dumps(item.get('status'))}"

        until(compare)


def status_of(item: Object) -> Object:
    """The status of the newest generation, or an empty one while there is only that of an older one."""
    status = item.get("status", {})
    generation = item["metadata"].get("generation")
    if status.get("observedGeneration", generation) != generation:
        return {}
    conditions = {one["type"]: {key: one.get(key) for key in ("status", "reason", "message")} for one in status.get("conditions", [])}
    return {**status, "conditions": {kind: {key: text for key, text in one.items() if text} for kind, one in conditions.items()}}


def columns(side: Side, resources: list[str], expected: Object) -> None:
    """Compare the columns by which `kubectl get` shows resources."""
    wrong = difference(expected, {resource: side.columns(resource) for resource in resources})
    assert not wrong, wrong


def zero(side: Side, services: list[str], expected: Object) -> None:
    """Wait for the numbers of replicas of services."""
    until(lambda: difference(expected, {"replicas": [side.replicas(name) for name in services]}))


ACTIONS: dict[str, Callable[[Side, Any, Object], None]] = {
    "request": request,
    "probe": probe,
    "create": create,
    "patch": patch,
    "delete": delete,
    "read": read,
    "columns": columns,
    "zero": zero,
    "topics": topics,
    "produce": produce,
    "records": records,
}
