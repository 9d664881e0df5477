"""Which rows are worth showing: the best of a group, and what nothing beats in two columns; and pairs of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ranked_usd(usd: NDArray[np.float64], unpriced: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dollars for comparing only: what has an unknown price ranks behind everything whose price is known.

    usd: what is known; unpriced: how many parts have no price.  Fewer unknown parts first, then fewer known dollars.
    """
    if not unpriced.any():
        return usd
    finite = np.abs(usd[np.isfinite(usd)])
    return np.asarray(usd + (1.0 + 2.0 * finite.max(initial=0.0)) * unpriced)


def best_by_group(group: NDArray[np.int64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row number of the smallest finite `cost` in each group, groups ascending; groups without one are left out.

    Ties go to the first row, so the answer does not depend on the machine.
    """
    finite = np.flatnonzero(np.isfinite(cost))
    order = finite[np.lexsort((cost[finite], group[finite]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]


def pareto_front(
    first: NDArray[np.float64], second: NDArray[np.float64], group: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Row numbers that no other row of their group beats or equals in both columns and beats in one: groups ascending,
    each ascending in the first column.  Without `group` all rows are one.

    Both are to be small; rows with a value that is not finite are never kept.  Of equal rows the first is kept.
    """
    if group is None:
        return _front(first, second)
    order = np.argsort(group, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return np.concatenate([piece[_front(first[piece], second[piece])] for piece in pieces])


def _front(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.int64]:
    finite = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    order = finite[np.lexsort((second[finite], first[finite]))]
    ordered = second[order]
    before = np.full(len(order), np.inf)
    np.minimum.accumulate(ordered[:-1], out=before[1:])
    return np.asarray(order[ordered < before], dtype=np.int64)


def pair(left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All (i, j) with left[i] == right[j], as two arrays of row numbers, i ascending."""
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    start = np.searchsorted(ordered, left, side="left")
    count = np.searchsorted(ordered, left, side="right") - start
    i = np.repeat(np.arange(len(left)), count)
    within = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    return i, order[np.repeat(start, count) + within]
