"""Noisy series of a run: the last steps against a threshold or against the first ones, with certainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planners.alerts.thresholds import SURE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_LOOKS = 200
"""Moments at which it is asked since when something holds."""


@dataclass(frozen=True, slots=True)
class Window:
    """Mean of some neighbouring values, and its standard error."""

    mean: float
    error: float

    def above(self, threshold: float) -> bool:
        """Surely above?"""
        return self.mean - threshold > SURE.value * self.error

    def above_by(self, other: Window, least: float) -> bool:
        """Surely above another window, by `least` at the least?"""
        return self.mean - other.mean - least > SURE.value * float(np.hypot(self.error, other.error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values of one quantity at ascending steps, without gaps."""

    step: NDArray[np.int64]
    value: Floats
    least: int = 5
    """Fewest values of a window."""

    def __len__(self) -> int:
        return len(self.value)

    @property
    def enough(self) -> bool:
        """Whether first and last values can be told apart."""
        return len(self) >= 3 * self.least

    @property
    def width(self) -> int:
        """Values of a window: a fifth of all, between `least` and four times that."""
        return int(np.clip(len(self) // 5, self.least, 4 * self.least))

    def until(self, count: int) -> Series:
        """The first `count` values."""
        return Series(step=self.step[:count], value=self.value[:count], least=self.least)

    def window(self, begin: int) -> Window:
        """`width` values from `begin` on.  Its error is that of independent noise: a trend is none."""
        noise = float(np.std(np.diff(self.value))) / np.sqrt(2.0)
        return Window(float(self.value[begin : begin + self.width].mean()), noise / float(np.sqrt(self.width)))

    @property
    def first(self) -> Window:
        """The first values."""
        return self.window(0)

    @property
    def last(self) -> Window:
        """The last values."""
        return self.window(len(self) - self.width)

    def best(self, *, lowest: bool = False) -> int:
        """Where the window with the highest (lowest) mean begins."""
        sums = np.cumsum(np.concatenate([[0.0], self.value]))
        means = sums[self.width :] - sums[: -self.width]
        return int(np.argmin(means) if lowest else np.argmax(means))


def since(series: Series, holds: Callable[[Series], bool]) -> int | None:
    """The step since which `holds` is true at every look back; None where it is false now."""
    if not series.enough or not holds(series):
        return None
    looks = np.unique(np.linspace(3 * series.least, len(series), MOST_LOOKS).astype(int))
    begun = len(series)
    for count in reversed(looks.tolist()):
        if not holds(series.until(count)):
            break
        begun = count
    return int(series.step[begun - 1])
