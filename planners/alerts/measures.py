"""Measures that alerts compare: windows of noisy series with their standard errors, and the diversity of texts.

Diversity is measured without embeddings: by distinct n-grams, and by near-duplicates found by MinHash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from planners.alerts.thresholds import SURE

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
    value: NDArray[np.float64]
    least: int = 5
    """Fewest values of a window."""

    def __len__(self) -> int:
        return len(self.value)

    @property
    def log(self) -> Series:
        """Natural logarithms of the values."""
        return Series(step=self.step, value=np.log(np.maximum(self.value, 1e-12)), least=self.least)

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


def aligned(rows: Sequence[tuple[float | None, ...]], *, least: int = 5) -> list[Series]:
    """(step, value, value …) as one series per value, without rows that are not finite; none where too few are left."""
    table = np.array(rows, dtype=float)
    if len(table) >= 3 * least:
        table = table[np.isfinite(table).all(axis=1)]
    if len(table) < 3 * least:
        return []
    return [Series(step=table[:, 0].astype(np.int64), value=column, least=least) for column in table[:, 1:].T]


def since(series: Series, holds: Callable[[Series], bool]) -> int | None:
    """The step since which `holds` is true at every look back; None where it is false now."""
    if len(series) < 3 * series.least or not holds(series):
        return None
    looks = np.unique(np.linspace(3 * series.least, len(series), MOST_LOOKS).astype(int))
    begun = len(series)
    for count in reversed(looks.tolist()):
        if not holds(series.until(count)):
            break
        begun = count
    return int(series.step[begun - 1])


BLOCK = 24
"""Texts that are looked at together: shares in steps of 4 %, and every block as large, as distinct n-grams need."""
MOST_BLOCKS = 40
MOST_TOKENS = 400
"""Of a text."""
NGRAM, SHINGLE = 3, 5
HASHES = 128
"""Standard error of a Jaccard similarity of 0.8: 0.035."""
SIMILAR = 0.8
_TOKEN = re.compile(r"\w+|[^\w\s]")
_RANDOM = np.random.default_rng(0)
_FACTORS = _RANDOM.integers(1, 2**63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**63, HASHES, dtype=np.uint64)


class Sample(NamedTuple):
    """A text that the policy or a generator wrote."""

    step: int
    text: str
    problem: str = ""
    """What it answers; texts for one problem may be alike."""


def distinct_ngram_share(texts: Sequence[str]) -> float:
    """Distinct 3-grams of tokens over all (distinct-3 of Li et al., arXiv:1510.03055); 1 where there are none."""
    grams = [gram for text in texts for gram in _grams(text, NGRAM)]
    return len(set(grams)) / len(grams) if grams else 1.0


def near_duplicate_share(samples: Sequence[Sample]) -> float:
    """Share of samples with a near-duplicate among those for other problems (among all others, where no problem is
    named): estimated Jaccard similarity of their 5-grams of tokens at least 0.8 (Broder 1997)."""
    if len(samples) < 2:
        return 0.0
    signatures = np.stack([_signature(sample.text) for sample in samples])
    alike = (signatures[:, None, :] == signatures[None, :, :]).mean(axis=2) >= SIMILAR
    names = np.array([sample.problem or f"#{number}" for number, sample in enumerate(samples)])
    return float((alike & (names[:, None] != names[None, :])).any(axis=1).mean())


def blocks(samples: Sequence[Sample], measure: Callable[[Sequence[Sample]], float]) -> list[Series]:
    """A measure of BLOCK samples at a time, at most MOST_BLOCKS of them, spread over the run."""
    whole = [samples[i : i + BLOCK] for i in range(0, len(samples) - BLOCK + 1, BLOCK)]
    picked = sorted({round(i) for i in np.linspace(0, len(whole) - 1, MOST_BLOCKS).tolist()}) if whole else []
    return aligned([(whole[i][-1].step, measure(whole[i])) for i in picked], least=2)


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)[:MOST_TOKENS]
    return [tuple(tokens[i : i + size]) for i in range(max(len(tokens) - size + 1, 1))]


def _signature(text: str) -> NDArray[np.uint64]:
    """The smallest value of each of HASHES hash functions (multiply-shift) over the text's shingles."""
    hashed = np.array([crc32("\0".join(gram).encode("utf-8", "replace")) for gram in _grams(text, SHINGLE)], np.uint64)
    return np.asarray(((hashed[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)).min(axis=0), dtype=np.uint64)
