"""What a model reports about itself, for its inputs and outputs and for the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import orjson

from common.errors import TidegateError
from functions.batch.client import Client
from functions.batch.run.manifest import ModelInfo
from functions.batch.signature import Signature, parse


async def describe(client: Client, model: str, revision: str | None) -> tuple[Signature, ModelInfo]:
    """Ask for a model's metadata, which starts one that is scaled to zero. Raises as `Client.call` and `parse` do."""
    headers = {"Tidegate-Revision": revision} if revision else {}
    body = await client.call("GET", f"/v2/models/{quote(model, safe='')}", headers=headers)
    signature = parse(body)
    metadata: dict[str, Any] = orjson.loads(body)
    parameters = metadata.get("parameters") or {}
    return signature, ModelInfo(
        name=model,
        versions=tuple(map(str, metadata.get("versions") or ())),
        signature=_fingerprint(signature),
        card_sha256=parameters.get("card_sha256"),
        artifact_sha256=parameters.get("artifact_sha256"),
    )


async def by_revision(client: Client, model: str, revisions: Iterable[str]) -> dict[str, Any]:
    """Return what each revision reports, null where the router lets no caller name one."""
    found: dict[str, Any] = {}
    for revision in revisions:
        try:
            _, info = await describe(client, model, revision)
            found[revision] = {name: value for name, value in asdict(info).items() if name not in ("name", "signature")}
        except TidegateError:
            found[revision] = None
    return found


def _fingerprint(signature: Signature) -> str:
    """A digest of the names and types of inputs and outputs: answers of one run must fit together."""
    return hashlib.sha256(orjson.dumps(asdict(signature))).hexdigest()
