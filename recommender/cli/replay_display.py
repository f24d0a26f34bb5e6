"""Shows how far a replay is: a bar on a terminal, a line every few seconds in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from recommender.client.replay import ReplayProgress

#: How often a line is written where there is no terminal.
LINE_SECONDS = 5.0
#: A broker that confirms nothing for this long is mentioned.
SILENT_SECONDS = 5.0


class Display:
    """A progress callback.

    Parameters
    ----------
    delivery_seconds : float
        How long a silent broker is waited for, to be said.

    Attributes
    ----------
    last : ReplayProgress
        What was reported last.
    """

    def __init__(self, delivery_seconds: float) -> None:
        self.last = ReplayProgress(0, 0, 0, 0.0)
        self._delivery_seconds = delivery_seconds
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._total: int | None = None
        self._begun = self._lined = time.monotonic()
        self._silent = False

    @contextmanager
    def counting(self, total: int | None) -> Iterator[None]:
        """Show progress towards `total` ratings, if that is known, for as long as the context lasts."""
        self._total = total
        self._begun = self._lined = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        with Progress(
            BarColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left" if total is not None else ""),
            console=self._console,
        ) as self._bar:
            self._task = self._bar.add_task("", total=total, counts="")
            yield

    def __call__(self, progress: ReplayProgress) -> None:
        """Show how far the replay is."""
        self.last = progress
        now = time.monotonic()
        self._mention_silence(progress.silent)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=progress.delivered + progress.failed, counts=self._counts(now)
            )
        elif now - self._lined >= LINE_SECONDS:
            self._lined = now
            self._print(self._counts(now) + self._left(now))

    def _counts(self, now: float) -> str:
        done = self.last.delivered
        rate = done / max(now - self._begun, 1e-3)
        of = "" if self._total is None else f" of {self._total:,}"
        failed = f", {self.last.failed:,} failed" if self.last.failed else ""
        return f"{done:,}{of} ratings{failed}, {rate:,.0f} per second"

    def _left(self, now: float) -> str:
        done = self.last.delivered + self.last.failed
        if self._total is None or not done:
            return ""
        return f", {(self._total - done) * (now - self._begun) / done:,.0f} s left"

    def _mention_silence(self, seconds: float) -> None:
        """Say once that the broker is silent, and once that it is not any more."""
        if seconds >= SILENT_SECONDS and not self._silent:
            self._silent = True
            self._print(
                f"The broker has confirmed nothing for {seconds:.0f} s; "
                f"waiting up to {self._delivery_seconds:g} s"
            )
        elif self._silent and seconds < SILENT_SECONDS:
            self._silent = False
            if not self.last.failed:
                self._print("The broker confirms again")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
