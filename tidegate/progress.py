"""Progress of a command on standard error: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from common import logs

_LIVE_INTERVAL_SECONDS = 0.1
_PLAIN_INTERVAL_SECONDS = 5.0


class Task:
    """One piece of long work. `advance` is cheap: the display is refreshed a few times a second at most."""

    def __init__(
        self, reporter: ProgressReporter, title: str, total: int | None, unit: str, bar: tuple[Progress, TaskID] | None = None
    ) -> None:
        self._reporter, self._title, self._unit, self._bar = reporter, title, unit, bar
        self.total, self.done, self.note = total, 0, ""
        self.begun = 0  # what was done before, which does not belong to the rate
        self._started = self._refreshed = time.monotonic()

    def advance(self, count: int) -> None:
        self.show(self.done + count)

    def show(self, done: int, note: str = "") -> None:
        """Set how much is done, and a note beside it."""
        self.done, self.note = done, note
        now = time.monotonic()
        if now - self._refreshed < (_LIVE_INTERVAL_SECONDS if self._bar else _PLAIN_INTERVAL_SECONDS):
            return
        self._refreshed = now
        if self._bar:
            progress, task = self._bar
            progress.update(task, total=self.total, completed=done, detail=self.detail(now))
        else:
            self._reporter.say(f"  {self._title}: {self.detail(now)}")

    def detail(self, now: float) -> str:
        """Count, rate and note as text."""
        seconds = max(now - self._started, 1e-3)
        of = f" of {self.total:,}" if self.total is not None else ""
        return f"{self.done:,}{of} {self._unit}, {(self.done - self.begun) / seconds:,.0f}/s{'; ' + self.note if self.note else ''}"


class ProgressReporter:
    """The messages of a command while it works.

    NO_COLOR, and a standard error that is not a terminal, make it plain.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def step(self, line: str) -> None:
        self.console.print(line, style="bold", markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """A bar in a terminal; elsewhere a line every few seconds, and one at the end."""
        if self.console.is_terminal:
            with self._live(title, total, unit) as task:
                yield task
            return
        task = Task(self, title, total, unit)
        yield task
        self.say(f"  {title}: {task.detail(time.monotonic())}")

    @contextmanager
    def _live(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bar:
            shown = bar.add_task(title, total=total, detail="")
            task = Task(self, title, total, unit, (bar, shown))
            try:
                yield task
            except BaseException:
                bar.remove_task(shown)
                raise
            bar.update(shown, total=task.done if total is None else total, completed=task.done, detail=task.detail(time.monotonic()))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log to standard error for a person: a line an event, with the time of day."""
    logs.to_stderr(level, format_="%(asctime)s %(levelname)-7s %(message)s", time_format="%H:%M:%S")
