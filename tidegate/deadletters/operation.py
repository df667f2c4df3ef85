"""What the commands do with the letters of a topic: find them, replay them, discard them."""

from __future__ import annotations

import threading
import time
import uuid
from array import array
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from common.redaction import redact_url
from eventing.kafka.port import Cluster, Consumer, Producer, TopicPartition
from tidegate.deadletters import reading
from tidegate.deadletters.account import Account
from tidegate.deadletters.claims import Claims
from tidegate.deadletters.errors import NoSuchLetter
from tidegate.deadletters.filters import Filter
from tidegate.deadletters.ledger import Ledger, State
from tidegate.deadletters.letter import Address, Letter
from tidegate.deadletters.limited import producer_for
from tidegate.deadletters.pace import Pace
from tidegate.deadletters.results import Results
from tidegate.deadletters.route import Route
from tidegate.deadletters.run import Replay
from tidegate.deadletters.through_model import ThroughModel
from tidegate.deadletters.to_source import Room, ToSource
from tidegate.publishing import EMBEDDED_MAX_LAG

Progress = Callable[[int], None]
Selection = Mapping[int, "array[int]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How letters are replayed. `through` is the URL of the model, None for their source topics; `output` is the
    topic of its replies, or of the worker's, in which results are waited for.
    """

    through: str | None = None
    output: str | None = None
    rate: float | None = None
    wait_seconds: float | None = None
    is_embedded: bool = False
    """Whether the broker keeps few records."""


class Topic:
    """The letters of one topic that match a filter, read when it is made. A context manager."""

    def __init__(self, cluster: Cluster, topic: str, filter_: Filter, *, broker: str, progress: Progress) -> None:
        self._cluster = cluster
        self.name = topic
        self.consumer: Consumer = reading.consumer_of(cluster)
        try:
            self.ledger: Ledger = reading.scan(self.consumer, topic, filter_, broker=redact_url(broker), progress=progress)
        except BaseException:
            self.consumer.close()
            raise

    def __enter__(self) -> Topic:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def rows(self, addresses: list[tuple[Address, State]]) -> list[tuple[Letter, State]]:
        """Return these letters in this order; one that has expired meanwhile is left out."""
        found: dict[Address, Letter] = {}
        for number in {address.partition for address, _ in addresses}:
            left = sorted(address.offset for address, _ in addresses if address.partition == number)
            while left:
                letters, left = reading.letters_at(self.consumer, TopicPartition(self.name, number), left)
                found |= {letter.address: letter for letter in letters}
        return [(found[address], state) for address, state in addresses if address in found]

    def select(self, limit: int | None, taken_over: frozenset[str] = frozenset()) -> Selection:
        """Return the letters that may be dealt with. Raises NoSuchLetter if there is none."""
        now = now_ms()
        selection = self.ledger.select(now, limit, taken_over)
        if selection:
            return selection
        held = self.ledger.held(now, taken_over)
        if held:
            runs = ", ".join(sorted(held)[:3])
            raise NoSuchLetter(
                f"the {held.total():,} open letters of {self.name} that match are being replayed by {runs}",
                remedy="wait for that run; if it has ended, wait for its claims to expire, or name it with --take-over",
            )
        raise NoSuchLetter(
            f"no open letter of {self.name} matches", remedy=f"see `tidegate deadletters list {self.name} --all` for the others"
        )

    def replay(
        self,
        selection: Selection,
        options: ReplayOptions,
        stop: threading.Event,
        account: Account,
        progress: Progress,
        waiting: Progress = lambda _: None,
    ) -> None:
        """Replay letters, and count in the account what became of them, also before an error. Raises TidegateError.

        While results are waited for, `waiting` gets their number.
        """
        with ExitStack() as stack:
            targets = {options.output or ""} if options.through else self.ledger.sources
            producer = stack.enter_context(producer_for(self._cluster, {self.name, *targets}))
            pace = Pace(options.rate, stop)
            route = self._route(options, producer, pace, account.run, stack)
            results = None
            if options.wait_seconds is not None and options.output and not options.through:
                watching = reading.consumer_of(self._cluster)
                stack.callback(watching.close)
                results = Results(watching, options.output, self.name)
            claims = Claims(self.consumer, producer, self.ledger, self.name, account.run)
            replay = Replay(self.consumer, claims, route, account, pace)
            try:
                replay.run(self.name, selection, progress)
            finally:
                if results is not None and options.wait_seconds is not None:
                    results.watch(replay.sent, options.wait_seconds, stop.is_set, waiting)
                    account.succeeded, account.failed_again = results.succeeded, results.failed_again
                account.interrupted = stop.is_set()

    def discard(self, selection: Selection, run: str, progress: Progress) -> int:
        """Mark letters as dealt with; return how many were not touched by another run meanwhile."""
        count = 0
        with producer_for(self._cluster, {self.name}) as producer:
            claims = Claims(self.consumer, producer, self.ledger, self.name, run)
            for number, offsets in selection.items():
                count += claims.discard(number, offsets)
                progress(len(offsets))
        return count

    def _route(self, options: ReplayOptions, producer: Producer, pace: Pace, run: str, stack: ExitStack) -> Route:
        if options.through:
            model = ThroughModel(producer, run, pace, url=options.through, output=options.output or "", topic=self.name)
            stack.callback(model.close)
            return model
        if not options.is_embedded:
            return ToSource(producer, run, pace)
        room = Room(self._cluster, EMBEDDED_MAX_LAG // 2, pace)
        stack.callback(room.close)
        return ToSource(producer, run, pace, room)


def new_run() -> str:
    """Return the id of a new run, which begins with the time of day in UTC."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def now_ms() -> float:
    """Return the time as records have it."""
    return time.time() * 1000
