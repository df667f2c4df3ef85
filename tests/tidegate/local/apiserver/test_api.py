"""The API of `tidegate up` where it differs from any API server; test_contract.py has the common part."""

from __future__ import annotations

import json

from kubernetes import client as kubernetes

from tests.tidegate.local.calls import WHERE, fails


async def test_patch_with_an_unknown_field_is_invalid(api: kubernetes.CustomObjectsApi) -> None:
    patch = {"spec": {"template": {"spec": {"timeoutSecond": 3}}}}
    status, body = await fails(api.patch_namespaced_custom_object, *WHERE, "services", "hello", patch)
    assert (status, json.loads(body)["reason"]) == (422, "Invalid")
    assert 'strict decoding error: unknown field \\"spec.template.spec.timeoutSecond\\"' in body
