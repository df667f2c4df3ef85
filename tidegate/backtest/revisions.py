"""A named revision, found and pinned through the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from common.errors import TidegateError
from functions.batch.client import Client, Refused, Response
from functions.batch.signature import Signature, parse
from functions.runtime.errors import BadAnswer
from tidegate.backtest.errors import RevisionNotFound, SameRevision

# The router's header: it names the revision that should answer a request, and the one that did.
REVISION_HEADER = "Tidegate-Revision"
_FORBIDDEN, _NOT_FOUND = 403, 404


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedRevision:
    """A revision that was found.

    Requests to `path` with `headers` reach it, whatever the traffic is. `given` is the name that the user gave.
    """

    given: str
    revision: str
    version: str
    path: str
    headers: Mapping[str, str]
    signature: Signature

    @property
    def title(self) -> str:
        """The given name and the revision, as shown to a person."""
        return self.revision if self.given == self.revision else f"{self.given} ({self.revision})"

    def check_answered_by(self, response: Response) -> None:
        """Check that this revision has answered. Raises BadAnswer."""
        answered = response.headers.get(REVISION_HEADER, "")
        if answered != self.revision:
            raise BadAnswer(
                f"the revision {answered or '(none)'} answered instead of {self.revision}",
                remedy="run it again when no rollout is going on",
            )


async def find(client: Client, model: str, name: str) -> PinnedRevision:
    """Find a revision by its own name, by a tag, or by a version that it serves; it starts if it is at zero.

    Raises RevisionNotFound, and as `Client.exchange` does.
    """
    path = f"/v2/models/{quote(model, safe='')}"
    try:
        response = await client.exchange("GET", path, headers={REVISION_HEADER: name})
    except Refused as error:
        if error.status not in (_FORBIDDEN, _NOT_FOUND):
            raise
        return await _by_version(client, path, name, error)
    revision = _revision_of(response)
    return _pinned(name, response, path, {REVISION_HEADER: revision})


def check_different(first: PinnedRevision, second: PinnedRevision) -> None:
    """Check that two names mean two revisions. Raises SameRevision."""
    if first.revision == second.revision:
        raise SameRevision(f"{first.given} and {second.given} are both the revision {first.revision}", remedy="name two different ones")


async def _by_version(client: Client, path: str, name: str, refusal: Refused) -> PinnedRevision:
    versioned = f"{path}/versions/{quote(name, safe='')}"
    try:
        response = await client.exchange("GET", versioned)
    except Refused as error:
        if error.status != _NOT_FOUND:
            raise
        # The first refusal lists revisions and tags, unless naming them is switched off; the second one versions.
        reason = error if refusal.status == _FORBIDDEN else refusal
        raise RevisionNotFound(
            _without_status(reason),
            remedy="name one of these, or a version; a revision without traffic is found only if it has a tag",
        ) from None
    return _pinned(name, response, versioned, {})


def _pinned(name: str, response: Response, path: str, headers: Mapping[str, str]) -> PinnedRevision:
    return PinnedRevision(
        given=name,
        revision=_revision_of(response),
        version=_version_of(response.content) if not path.endswith(f"/versions/{quote(name, safe='')}") else name,
        path=f"{path}/infer",
        headers=headers,
        signature=parse(response.content),
    )


def _revision_of(response: Response) -> str:
    revision = response.headers.get(REVISION_HEADER)
    if not revision:
        raise TidegateError("the address answers without naming a revision, so it is no router", remedy="name the router with --url")
    return revision


def _version_of(metadata: bytes) -> str:
    """The version in a revision's metadata; an empty string if it names none."""
    versions = orjson.loads(metadata).get("versions") or ()
    return str(versions[0]) if versions else ""


def _without_status(error: Refused) -> str:
    return error.message.removesuffix(".").removesuffix(f" (status {error.status})").rstrip(".")
