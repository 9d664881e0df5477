"""Dominance against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planners.search.pareto import best_by_group, pareto_front

COST = st.one_of(st.integers(0, 6).map(float), st.just(np.inf), st.just(np.nan))


def dominated(rows: list[tuple[float, float]], index: int) -> bool:
    """Another row is as small in every column, and smaller in one or earlier among equals."""
    mine = rows[index]
    return any(
        all(a <= b for a, b in zip(other, mine, strict=True)) and (other != mine or number < index)
        for number, other in enumerate(rows)
        if number != index and np.isfinite(other).all()
    )


@given(rows=st.lists(st.tuples(COST, COST), max_size=30))
def test_the_front_is_what_nothing_dominates(rows: list[tuple[float, float]]) -> None:
    found = pareto_front(*np.array(rows, dtype=np.float64).reshape(-1, 2).T)
    expected = {n for n, row in enumerate(rows) if np.isfinite(row).all() and not dominated(rows, n)}
    assert set(found.tolist()) == expected
    first = [rows[n][0] for n in found.tolist()]
    assert first == sorted(first)


@given(rows=st.lists(st.tuples(st.integers(0, 4), COST), max_size=40))
def test_each_group_gives_its_first_smallest_finite_row(rows: list[tuple[int, float]]) -> None:
    groups = np.array([group for group, _ in rows], dtype=np.int64)
    costs = np.array([cost for _, cost in rows], dtype=np.float64)
    expected = []
    for group in sorted(set(groups.tolist())):
        finite = [n for n in range(len(rows)) if rows[n][0] == group and np.isfinite(rows[n][1])]
        if finite:
            expected.append(min(finite, key=lambda n: (rows[n][1], n)))
    assert best_by_group(groups, costs).tolist() == expected
