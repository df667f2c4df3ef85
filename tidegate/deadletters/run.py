"""One replay: chunks of letters are claimed, delivered by a route, and marked as replayed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

from eventing.kafka.port import Consumer, TopicPartition
from tidegate.deadletters import reading
from tidegate.deadletters.account import Account
from tidegate.deadletters.claims import Claims
from tidegate.deadletters.errors import NotAcknowledged
from tidegate.deadletters.ledger import chunks
from tidegate.deadletters.letter import Letter
from tidegate.deadletters.pace import Pace
from tidegate.deadletters.results import SentPlaces
from tidegate.deadletters.route import Route


class Replay:
    """A run. What it did is in `account`, also after an error."""

    def __init__(self, consumer: Consumer, claims: Claims, route: Route, account: Account, pace: Pace) -> None:
        self._consumer = consumer
        self._claims = claims
        self._route = route
        self._pace = pace
        self.account = account
        self.sent = SentPlaces()

    def run(self, topic: str, selection: Mapping[int, array[int]], progress: Callable[[int], None]) -> None:
        """Replay the selected letters. Raises TidegateError, after what was delivered is marked."""
        for number, offsets in selection.items():
            for chunk in chunks(offsets, self._pace.chunk):
                left = chunk
                while left and not self._pace.stopped:
                    letters, rest = reading.letters_at(self._consumer, TopicPartition(topic, number), left)
                    self.account.expired += len(left) - len(rest) - len(letters)
                    self._replay(number, letters)
                    progress(len(left) - len(rest))
                    left = rest

    def _replay(self, partition: int, letters: Sequence[Letter]) -> None:
        complete = []
        for letter in letters:
            if letter.is_complete:
                complete.append(letter)
            else:
                self.account.incomplete += 1
                self.account.note(letter.address, f"read its record at {letter.origin}, if the topic still has it")
        # Both waits may be long, and the claims of a run expire.
        if not complete or not self._route.make_room(complete) or not self._pace.wait():
            return
        offsets = [letter.offset for letter in complete]
        won, written = self._claims.claim(partition, offsets, self._route.topics(complete), self._route.lease_seconds)
        self.account.held += len(complete) - len(won)
        mine = set(won) - written
        done = self._route.deliver([letter for letter in complete if letter.offset in mine])
        self.sent.add(done.places)
        account = self.account
        account.found += len(written)
        account.replayed += len(written) + len(done.replayed)
        account.unacknowledged += len(done.unacknowledged)
        account.refused += len(done.refused)
        for address, reason in done.refused:
            account.note(address, reason)
        if account.succeeded is not None:
            account.succeeded += done.succeeded
            account.failed_again = (account.failed_again or 0) + done.failed_again
        # Without these markers, as after a kill, the next run finds the records themselves.
        known = written | set(done.replayed)
        self._claims.replayed(partition, known)
        self._claims.release(partition, set(won) - known - set(done.unacknowledged))
        if done.error is not None:
            raise done.error
        if done.unacknowledged:
            raise NotAcknowledged(
                f"the broker did not acknowledge {len(done.unacknowledged):,} records", remedy="check its log, then run the command again"
            )
