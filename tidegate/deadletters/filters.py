"""Which letters a command is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tidegate.deadletters.errors import InvalidFilter
from tidegate.deadletters.letter import Address, Letter
from tidegate.times import milliseconds

_STATUS = re.compile("[0-9]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A letter matches if it satisfies each field that is set; of several values in one field, one suffices."""

    reasons: tuple[str, ...] = ()
    """A status of three digits, or a part of the problem's title or detail, in any case."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Exclusive."""
    keys: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    addresses: frozenset[Address] = frozenset()

    def matches(self, letter: Letter) -> bool:
        if self.addresses and letter.address not in self.addresses:
            return False
        if self.since_ms is not None and letter.time_ms < self.since_ms:
            return False
        if self.until_ms is not None and letter.time_ms >= self.until_ms:
            return False
        if self.keys and letter.key not in self.keys:
            return False
        if self.reasons and not any(_is_of(reason, letter) for reason in self.reasons):
            return False
        return not self.ids or letter.id in self.ids


def parse(
    *,
    reasons: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    keys: Sequence[str] = (),
    ids: Sequence[str] = (),
    addresses: Sequence[str] = (),
    now: datetime,
) -> Filter:
    """Return the filter of the options. Raises InvalidFilter."""
    found = Filter(
        reasons=tuple(reason.casefold() for reason in reasons if reason),
        since_ms=_time(since, "--since", now),
        until_ms=_time(until, "--until", now),
        keys=frozenset(keys),
        ids=frozenset(ids),
        addresses=frozenset(address_of(text, "--at") for text in addresses),
    )
    if found.since_ms is not None and found.until_ms is not None and found.since_ms >= found.until_ms:
        raise InvalidFilter(f"--since {since} is not before --until {until}", remedy="name an --until after --since")
    return found


def address_of(text: str, option: str) -> Address:
    """Parse the address of a letter. Raises InvalidFilter."""
    found = Address.parse(text)
    if found is None:
        raise InvalidFilter(f"{option} is {text!r}, which is no address of a letter", remedy="write PARTITION:OFFSET, as `list` shows it")
    return found


def _time(text: str | None, option: str, now: datetime) -> int | None:
    if text is None:
        return None
    ms = milliseconds(text, now)
    if ms is None:
        raise InvalidFilter(
            f"{option} is {text!r}, which is no time", remedy="write 2026-11-01T08:00:00Z, or a duration before now such as 15m, 2h or 7d"
        )
    return ms


def _is_of(reason: str, letter: Letter) -> bool:
    problem = letter.problem
    if _STATUS.fullmatch(reason):
        return problem.status == int(reason)
    return reason in problem.title.casefold() or reason in problem.detail.casefold()
