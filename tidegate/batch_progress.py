"""The progress of a batch for a person: rows, rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from functions.batch.job import Progress
from tidegate.progress import ProgressReporter


@contextmanager
def shown_progress(name: str) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows the progress."""
    with ProgressReporter().progress(f"scoring {name}", None, "rows") as task:

        def show(now: Progress) -> None:
            task.total, task.begun = now.total_rows, now.resumed
            task.show(now.rows, note_of(now))

        yield show


def note_of(now: Progress) -> str:
    """Return what is said beside rows and rate: the time left, rejects, and what an earlier attempt had done."""
    parts = []
    if now.total_rows is not None and now.rate > 0 and now.rows < now.total_rows:
        parts.append(f"{duration((now.total_rows - now.rows) / now.rate)} left")
    if now.rejects:
        parts.append(f"{now.rejects:,} rejected")
    if now.resumed:
        parts.append(f"{now.resumed:,} from before")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
