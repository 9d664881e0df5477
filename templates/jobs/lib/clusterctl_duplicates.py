"""Near-duplicates by MinHash and locality-sensitive hashing (datasketch 2.0), in the order in which texts come."""

from __future__ import annotations

import re
from collections.abc import Iterable

SAME = 0.7
"""Estimated Jaccard similarity from which two texts count as the same: StarCoder's (arXiv:2305.06161, on 5-grams of
files; these texts are shorter, so 3-grams: assumption)."""
WORDS = 3
PERMUTATIONS = 128
_WORD = re.compile(r"\w+")


class Duplicates:
    """Texts that were seen."""

    def __init__(self, keep_away: Iterable[str] = (), *, same: float = SAME) -> None:
        """keep_away: texts such as those of a benchmark, near which nothing may be."""
        from datasketch import MinHash, MinHashLSH

        self._index = MinHashLSH(threshold=same, num_perm=PERMUTATIONS)
        self._same, self._sketches = same, list[MinHash]()
        for text in keep_away:
            self.is_new(text)

    def is_new(self, text: str) -> bool:
        """Whether nothing like it was seen; it then counts as seen."""
        from datasketch import MinHash

        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([part.encode() for part in shingles(text)])
        if any(sketch.jaccard(self._sketches[key]) >= self._same for key in self._index.query(sketch)):
            return False
        self._index.insert(len(self._sketches), sketch)
        self._sketches.append(sketch)
        return True


def shingles(text: str) -> set[str]:
    """Runs of words; a text of fewer words is one."""
    words = _WORD.findall(text.lower())
    return {" ".join(words[at : at + WORDS]) for at in range(max(len(words) - WORDS + 1, 1))}
