"""What is under way: a bar with the time left on a terminal, plain lines elsewhere.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import shutil
import sys
import time


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Progress of a number of runs, on stderr.

    Parameters
    ----------
    total : int
        Runs to do.
    jobs : int
        Runs at a time.
    """

    def __init__(self, total: int, jobs: int) -> None:
        self.total = total
        self.jobs = jobs
        self.done = 0
        self._running: dict[str, float] = {}
        self._walls: list[float] = []
        self._start = time.monotonic()
        self._tty = sys.stderr.isatty()
        self._drawn = False

    def left(self) -> float | None:
        """Return the seconds to the end by the mean of the runs so far, None before one."""
        if not self._walls:
            return None
        now = time.monotonic()
        mean = sum(self._walls) / len(self._walls)
        waiting = self.total - self.done - len(self._running)
        under_way = sum(max(0.0, mean - (now - t)) for t in self._running.values())
        return (waiting * mean + under_way) / self.jobs

    def begin(self, name: str) -> None:
        """Note that a run has begun."""
        self._running[name] = time.monotonic()

    def end(self, name: str, wall: float, note: str = "") -> None:
        """Note that a run has ended; say so where there is no bar or `note` is given."""
        self._running.pop(name, None)
        self._walls.append(wall)
        self.done += 1
        if note or not self._tty:
            left = self.left() if self.done < self.total else None
            rest = f", {clock(left)} left" if left is not None else ""
            self.say(
                f"{name} [{self.done}/{self.total}] {note or 'done'} in {wall:.1f} s{rest}"
            )

    def say(self, line: str) -> None:
        """Print a line of its own."""
        self.clear()
        print(f"fuzzyrun: {line}", file=sys.stderr, flush=True)

    def draw(self) -> None:
        """Draw the bar anew, on a terminal only."""
        if not self._tty:
            return
        left = self.left()
        tail = (
            f" {self.done}/{self.total} runs, {clock(time.monotonic() - self._start)}"
            f" so far, {clock(left) if left is not None else '?'} left"
        )
        width = max(8, min(40, shutil.get_terminal_size().columns - len(tail) - 3))
        full = width * self.done // max(1, self.total)
        sys.stderr.write(f"\r[{'#' * full}{'.' * (width - full)}]{tail}\x1b[K")
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the bar off the screen."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
