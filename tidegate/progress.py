"""Telling a person what goes on: steps and progress on standard error, live in a terminal, as plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from common import logs

_PLAIN_EVERY_SECONDS = 5.0


class Task:
    """One piece of long work. `advance` is cheap: what is shown is refreshed a few times a second."""

    def __init__(self, narration: Narration, title: str, total: int | None, unit: str) -> None:
        self._narration, self._title, self._unit = narration, title, unit
        self.total, self.done, self.note = total, 0, ""
        self._started = self._told = time.monotonic()
        self._live: tuple[Progress, TaskID] | None = None

    def advance(self, count: int) -> None:
        self.show(self.done + count)

    def show(self, done: int, note: str = "") -> None:
        self.done, self.note = done, note
        now = time.monotonic()
        if now - self._told < (0.1 if self._live else _PLAIN_EVERY_SECONDS):
            return
        self._told = now
        if self._live:
            progress, task = self._live
            progress.update(task, completed=done, detail=self.detail(now))
        else:
            self._narration.say(f"  {self._title}: {self.detail(now)}")

    def detail(self, now: float) -> str:
        seconds = max(now - self._started, 1e-3)
        of = f" of {self.total:,}" if self.total is not None else ""
        return f"{self.done:,}{of} {self._unit}, {self.done / seconds:,.0f}/s{'; ' + self.note if self.note else ''}"


class Narration:
    """What a command says while it works. It honours NO_COLOR, and a standard error that is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def step(self, line: str) -> None:
        self.console.print(line, style="bold", markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """A bar in a terminal; elsewhere a line every few seconds, and one at the end."""
        task = Task(self, title, total, unit)
        if not self.console.is_terminal:
            yield task
            self.say(f"  {title}: {task.detail(time.monotonic())}")
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bar:
            shown = bar.add_task(title, total=total, detail="")
            task._live = (bar, shown)  # noqa: SLF001 the task draws itself on the bar that was made for it
            try:
                yield task
            except BaseException:
                bar.remove_task(shown)
                raise
            bar.update(shown, total=task.done if total is None else total, completed=task.done, detail=task.detail(time.monotonic()))


def log_to_stderr(level: int = logging.INFO) -> None:
    """What long-running commands tell: a line an event, with the time of day."""
    logs.to_stderr(level, format_="%(asctime)s %(levelname)-7s %(message)s", time_format="%H:%M:%S")
