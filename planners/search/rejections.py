"""Why not?  A rule keeps or rejects rows; what it rejects is counted, with the reason and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Rows that one rule left out."""

    rule: str
    reason: str
    count: int
    examples: tuple[str, ...] = ()
    left: int = 0
    """Rows that the rule kept."""


@dataclass(slots=True)
class Rejections:
    """Collects rejections while rules are applied in turn; a row is counted by the first rule that rejects it."""

    rejected: list[Rejected] = field(default_factory=list)

    def offers(self, frame: pl.DataFrame, rule: str, reason: str, keep: pl.Expr) -> pl.DataFrame:
        """The rows of `frame` where `keep` is true; the rest is recorded under `rule`.  Null counts as false."""
        kept = frame.filter(keep)
        count = frame.height - kept.height
        if count:
            sample = frame.filter(~keep.fill_null(value=False)).unique(["cloud", "instance_type"], maintain_order=True)
            names = [f"{cloud} {kind}" for cloud, kind in sample.select("cloud", "instance_type").head(EXAMPLES).rows()]
            self.rejected.append(
                Rejected(rule=rule, reason=reason, count=count, examples=tuple(names), left=kept.height)
            )
        return kept

    def rows(
        self, alive: NDArray[np.bool_], rule: str, reason: str, keep: NDArray[np.bool_], name: Callable[[int], str]
    ) -> NDArray[np.bool_]:
        """`alive & keep`; rows that were alive and are not kept are recorded, named by `name(row)` for the examples."""
        lost = np.flatnonzero(alive & ~keep)
        if len(lost):
            examples = dict.fromkeys(name(int(row)) for row in lost[: EXAMPLES * 20])
            left = int((alive & keep).sum())
            self.rejected.append(
                Rejected(rule=rule, reason=reason, count=len(lost), examples=tuple(examples)[:EXAMPLES], left=left)
            )
        return alive & keep
