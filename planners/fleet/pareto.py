"""Which rows are worth showing: dominance over columns that should all be small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_by_group(group: NDArray[np.int64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row number of the smallest finite `cost` in each group, groups in ascending order; groups without one are left
    out.

    Ties go to the first row, so the answer does not depend on the machine.
    """
    finite = np.flatnonzero(np.isfinite(cost))
    order = finite[np.lexsort((cost[finite], group[finite]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]


def pareto_front(*costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row numbers that no other row beats or equals in every column and beats in one; ascending in the first column.

    costs: two or three columns of equal length, all to be small; rows with a value that is not finite are never kept.
    Of rows that are equal in every column the first is kept. O(n log n) for two columns; for three, O(n · front).
    """
    stacked = np.stack(costs)
    finite = np.flatnonzero(np.isfinite(stacked).all(axis=0))
    order = finite[np.lexsort((finite, *stacked[::-1, finite]))]
    if len(costs) == 2:
        second = stacked[1, order]
        before = np.concatenate(([np.inf], np.minimum.accumulate(second)[:-1]))
        return np.asarray(order[second < before], dtype=np.int64)
    kept: list[int] = []
    front = np.empty((len(costs), 0))
    for row in order:
        values = stacked[:, row]
        if not (front <= values[:, None]).all(axis=0).any():
            kept.append(int(row))
            front = np.column_stack((front, values))
    return np.array(kept, dtype=np.int64)
