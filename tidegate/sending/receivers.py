"""The choice of the receiver that `--to` names, as a pure function of what is there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.local.objects.kinds import BY_PLURAL, Kind
from tidegate.sending.errors import UnknownReceiver

BROKER, SERVICE, JOB_SINK = "Broker", "Service", "JobSink"
RESOURCES = ("brokers", "services", "jobsinks", "kafkasinks", "sequences", "parallels")
"""The resources whose objects accept events, those that are chosen most often first."""

_KINDS = {name: BY_PLURAL[resource] for resource in RESOURCES for name in (BY_PLURAL[resource].singular, *BY_PLURAL[resource].short_names)}
_START = "start `tidegate up` with manifests that have one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """An object that accepts events. Without an address (`url`), `reason` explains that."""

    kind: str
    namespace: str
    name: str
    url: str | None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """`--to` in its parts: `[KIND:]NAME[:NAMESPACE][/PATH]`."""

    name: str
    kind: Kind | None
    namespace: str | None
    path: str

    def matches(self, receiver: Receiver) -> bool:
        kind_matches = self.kind is None or self.kind.kind == receiver.kind
        return receiver.name == self.name and kind_matches and self.namespace in (None, receiver.namespace)


def choose(to: str | None, known: Sequence[Receiver]) -> tuple[Receiver, str]:
    """Return the receiver that `to` names, by default the only Broker, with the URL to post to. Raises UnknownReceiver."""
    wanted = _parse(to) if to is not None else None
    receiver = _named(wanted, known) if wanted else _only_broker(known)
    if not receiver.url:
        raise UnknownReceiver(
            f"the {receiver} has no address: {receiver.reason or 'it is not ready'}", remedy="`tidegate status` shows why"
        )
    return receiver, receiver.url.rstrip("/") + wanted.path if wanted else receiver.url


def _parse(to: str) -> _Wanted:
    front, slash, path = to.partition("/")
    parts = front.split(":")
    kind = _KINDS.get(parts[0].lower()) if len(parts) > 1 else None
    if len(parts) > 1 and kind is None:
        raise UnknownReceiver(f"{parts[0]!r} in --to is no kind that accepts events", remedy=f"write one of {', '.join(_KINDS)}")
    names = parts[1:] if kind else parts
    if not names[0] or len(names) > 2:
        raise UnknownReceiver(f"--to is {to!r}", remedy="write NAME, KIND:NAME or KIND:NAME:NAMESPACE, and a /PATH after it if needed")
    return _Wanted(name=names[0], kind=kind, namespace=names[1] if len(names) == 2 else None, path=f"{slash}{path}")


def _only_broker(known: Sequence[Receiver]) -> Receiver:
    brokers = [receiver for receiver in known if receiver.kind == BROKER]
    if len(brokers) == 1:
        return brokers[0]
    if brokers:
        choices = " or ".join(f"--to {_exact(receiver, brokers)}" for receiver in brokers)
        raise UnknownReceiver(f"there are {len(brokers)} Brokers", remedy=f"choose one by {choices}")
    names = ", ".join(map(str, known))
    if not names:
        raise UnknownReceiver("there is no Broker, Service or sink", remedy=_START)
    raise UnknownReceiver("there is no Broker, and --to names no other receiver", remedy=f"choose one by --to: {names}")


def _named(wanted: _Wanted, known: Sequence[Receiver]) -> Receiver:
    found = [receiver for receiver in known if wanted.matches(receiver)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(f"--to {_exact(receiver, known)}" for receiver in found)
        raise UnknownReceiver(f"{wanted.name} is the name of {len(found)} receivers", remedy=f"choose one by {choices}")
    raise _unknown(wanted, known)


def _unknown(wanted: _Wanted, known: Sequence[Receiver]) -> UnknownReceiver:
    kind = wanted.kind.kind if wanted.kind else "receiver"
    near = difflib.get_close_matches(wanted.name, {receiver.name for receiver in known}, n=1)
    meant = [str(receiver) for receiver in known if receiver.name in near]
    message = f"no {kind} is named {wanted.name}" + (f" in the namespace {wanted.namespace}" if wanted.namespace else "")
    if meant:
        return UnknownReceiver(message, remedy=f"use the {' or the '.join(meant)}")
    names = ", ".join(map(str, known))
    return UnknownReceiver(message, remedy=f"use one of these: {names}" if names else _START)


def _exact(receiver: Receiver, known: Sequence[Receiver]) -> str:
    """The shortest text by which `--to` names this receiver only."""
    twins = [other for other in known if (other.kind, other.name) == (receiver.kind, receiver.name)]
    return f"{receiver.kind.lower()}:{receiver.name}" + (f":{receiver.namespace}" if len(twins) > 1 else "")
