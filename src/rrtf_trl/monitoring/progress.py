"""Progress on the console: a bar with rate and remaining time, or plain lines if there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .status_file import current_status

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_POLLS = 0.2  # of another process's work


class Meter:
    """Counts the work of a stage.

    Args:
        console: Where to print.
        label: The name of the work, for instance ``sample``.
        total: The number of items.
        unit: What the items are, for the rate.
    """

    def __init__(self, console: Console, label: str, total: int, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self._console = console
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar: Progress | None = None
        self._new = 0
        self._waited_for = ""
        self._status = current_status()
        self._started_at = time.time()
        self._publish()

    def set_total(self, total: int) -> None:
        """Set a total that is known only after the work has begun."""
        self.total = total
        self._publish()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)

    def advance(self, count: int = 1, *, cached: bool = False) -> None:
        """Add ``count`` finished items; ``cached`` ones do not count for the rate."""
        self.done += count
        self._new += 0 if cached else count
        self._publish()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, rate=self._rate())
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(f"{self.label}: {self.done}/{self.total} {self._rate()}", highlight=False)

    def wait_for(self, holder: str) -> None:
        """Print who else does the remaining work, unless it was printed before, and wait a moment."""
        if holder != self._waited_for:
            self._waited_for = holder
            self._console.print(f"{self.label}: waiting for {holder}, which does the rest", highlight=False)
        time.sleep(SECONDS_BETWEEN_POLLS)

    def _publish(self) -> None:
        if self._status is not None:
            self._status.work(self.label, self.done, self.total, self._new, self.unit, self._started_at)

    def _rate(self) -> str:
        seconds = time.monotonic() - self._start
        return f"{self._new / seconds:,.1f} {self.unit}/s" if self._new and seconds > 0.5 else ""

    def summary(self) -> str:
        """Return one line on the finished work."""
        seconds = time.monotonic() - self._start
        reused = self.done - self._new
        work = f"{self._new} {self.unit} in {seconds:.1f} s" if self._new else "nothing to do"
        rate = f" ({self._rate()})" if self._rate() else ""
        return f"{self.label}: {work}{rate}" + (f", {reused} re-used" if reused else "")


@contextmanager
def meter(console: Console, label: str, total: int, unit: str) -> Iterator[Meter]:
    """Show the progress of a stage while the block runs, and a summary line afterwards."""
    counter = Meter(console, label, total, unit)
    if console.is_terminal or console.is_jupyter:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        ]
        with Progress(*columns, console=console, transient=True) as bar:
            bar.add_task(label, total=total, rate="")
            counter._bar = bar
            yield counter
    else:
        console.print(f"{label} ...", highlight=False)
        yield counter
    console.print(counter.summary(), highlight=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("rate", "")))
