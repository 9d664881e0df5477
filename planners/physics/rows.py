"""Many workloads as one: stacking scalars into columns, taking rows, finding distinct rows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from planners.physics.columns import Column
    from planners.physics.workload import Workload

GROUPS = ("model", "gpu", "layout", "train", "rollout", "sandbox")
"""Fields of a workload that hold columns; `year` is a column itself."""

Group = TypeVar("Group")


def stack(workloads: Sequence[Workload]) -> Workload:
    """One workload with columns of shape (n,) from n workloads of scalars."""
    assert workloads, "nothing to stack"
    first = workloads[0]
    groups = {name: _stack_group([getattr(w, name) for w in workloads]) for name in GROUPS}
    return replace(first, **groups, year=np.array([w.year for w in workloads], dtype=np.float64))


def _stack_group(parts: Sequence[Group]) -> Group:
    columns = {
        f.name: np.array([getattr(part, f.name) for part in parts], dtype=np.float64)
        for f in fields(parts[0])  # type: ignore[arg-type]  # a group is a dataclass of columns
    }
    return type(parts[0])(**columns)


def map_columns(w: Workload, change: Callable[[Column], Column]) -> Workload:
    """The workload with `change` applied to every column."""
    groups = {
        name: replace(group, **{f.name: change(getattr(group, f.name)) for f in fields(group)})
        for name in GROUPS
        for group in (getattr(w, name),)
    }
    return replace(w, **groups, year=change(w.year))


def take_rows(w: Workload, rows: NDArray[np.intp]) -> Workload:
    """The named rows of every column; scalars stay."""
    return map_columns(w, lambda column: column if np.ndim(column) == 0 else np.asarray(column)[rows])


def distinct_rows(columns: Iterable[Column]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """(rows, inverse): one row per distinct combination, and which of them each row is; None without arrays.

    Rows are compared by a 64-bit mix of their bits: two of a million differing rows collide with a chance of 3e-8.
    """
    key: NDArray[np.uint64] | None = None
    for column in columns:
        if np.ndim(column) == 0:
            continue
        bits = np.ascontiguousarray(column, dtype=np.float64).view(np.uint64)
        mixed = bits if key is None else key * np.uint64(0x9E3779B97F4A7C15) ^ bits
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        key = mixed ^ (mixed >> np.uint64(32))
    if key is None:
        return None
    _, rows, inverse = np.unique(key, return_index=True, return_inverse=True)
    return rows.astype(np.intp), inverse.astype(np.intp)
