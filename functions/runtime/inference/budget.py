"""The budget of the bytes that requests and responses may take in memory, shared by all transports."""

from __future__ import annotations

from functions.runtime.errors import Overloaded

# A smaller response stays in the buffers of server and system; waiting until it is sent would cost more than its bytes.
LARGE_ANSWER_BYTES = 32 * 1024


class Budget:
    """The bytes of request and response bodies that may be in memory at once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.used = 0

    def take(self, size: int, held: int = 0) -> None:
        """Take `size` bytes for a request that has taken `held` bytes before.

        Raises Overloaded when the budget is used up; a request alone is never refused.
        """
        if self.used > held and self.used + size > self._total:
            raise Overloaded(f"requests of {self.used} bytes are in flight", remedy="retry later")
        self.used += size

    def replace(self, size: int, by: int) -> None:
        """Replace an estimate by the actual size; never refused, since these bytes are already in memory."""
        self.used += by - size

    def give(self, size: int) -> None:
        """Return `size` bytes to the budget."""
        self.used -= size
