"""How diverse texts are, without embeddings: distinct n-grams, and near-duplicates by MinHash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 24
"""Texts that are looked at together: shares in steps of 4 %, and every block as large, as distinct n-grams need."""
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


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)[:MOST_TOKENS]
    return [tuple(tokens[i : i + size]) for i in range(max(len(tokens) - size + 1, 1))]


def _signature(text: str) -> NDArray[np.uint64]:
    """The smallest value of each of HASHES hash functions (multiply-shift) over the text's shingles."""
    hashed = np.array([crc32("\0".join(gram).encode("utf-8", "replace")) for gram in _grams(text, SHINGLE)], np.uint64)
    return np.asarray(((hashed[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)).min(axis=0), dtype=np.uint64)
