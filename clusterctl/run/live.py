"""The line at the bottom of the terminal while a run is followed; lines above it scroll."""

from __future__ import annotations

import sys

from clusterctl.run.state import RunState
from clusterctl.run.view import METRIC_WORDS, duration_text, usd_text
from clusterctl.ui.terminal import terminal

BAR_COLUMNS = 12
CLEAR = "\r\x1b[K"


class LiveLine:
    """Text to stdout, line by line; below it on stderr, if a person watches, one line that changes."""

    def __init__(self) -> None:
        self._terminal = terminal(sys.stderr)
        self._line = ""

    @property
    def watched(self) -> bool:
        """Whether a person sees the line."""
        return self._terminal.interactive

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._draw()

    def show(self, state: RunState) -> None:
        """The line that changes."""
        self._line = progress_text(state, self._terminal.columns - 1)
        self._draw()

    def finish(self) -> None:
        """Take the line away for good."""
        self._clear()
        self._line = ""

    def _clear(self) -> None:
        if self.watched and self._line:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def _draw(self) -> None:
        if self.watched and self._line:
            sys.stderr.write(f"{CLEAR}{self._line}")
            sys.stderr.flush()


def progress_text(state: RunState, columns: int) -> str:
    """`step 12/40 ██████░░░░  reward 0.41  pass@1 38%  $0.0006 of ~$0.0021  38 s left`, as much as fits."""
    ahead, money = state.outlook, state.spending
    share = ahead.done / ahead.of if ahead.of else 0.0
    bar = ("█" * round(share * BAR_COLUMNS)).ljust(BAR_COLUMNS, "░")
    spent = usd_text(money.usd, known=money.known_usd)
    total = f" of ~{usd_text(ahead.usd_at_end)}" if ahead.usd_at_end is not None else ""
    metrics = state.step.metrics if state.step else {}
    values = [
        f"{word} {value:.2f}" if name == "reward" else f"{word} {value:.0%}"
        for name, word in METRIC_WORDS.items()
        if (value := metrics.get(name)) is not None
    ]
    waiting = "" if state.step else f"{state.row.state}: {', '.join(state.roles) or 'nothing yet'}"
    left = f"{duration_text(ahead.seconds_left)} left"
    if ahead.overdue_seconds:
        left = f"no step for {duration_text(ahead.overdue_seconds)}"
    # the rightmost that doesn't fit is left out first
    order = [f"step {ahead.done}/{ahead.of}", f"{spent}{total}", left, *values[:1], bar, *values[1:]]
    shown = [f"step {ahead.done}/{ahead.of}", bar, waiting, *values, f"{spent}{total}", left]
    while len("  ".join(filter(None, shown))) > columns and order:
        dropped = order.pop()
        shown = [text for text in shown if text != dropped]
    return "  ".join(filter(None, shown))[:columns]
