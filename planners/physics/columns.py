"""Columns: the one kind of value that the physics computes with.

A column is a float64 array of shape (n,) or a plain float that broadcasts; a search passes scalars for the
model and the work and vectors for GPUs and layouts.  NaN in a column means "unknown": `known` replaces it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Column: TypeAlias = Array | float

UNKNOWN = float("nan")


class Table:
    """Base of dataclasses whose fields are all arrays with one entry per row."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """The given rows; one may be there twice."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def known(column: Column, otherwise: Column) -> Column:
    """`column` where it is known, `otherwise` where it is NaN.  Same unit in as out."""
    if isinstance(column, float) and not np.isnan(column):
        return column
    return np.where(np.isnan(column), otherwise, column)


def smooth_max(a: Column, b: Column, power: Column) -> Column:
    """(a^p + b^p)^(1/p): two costs that overlap; p = 1 adds them, large p hides the smaller one."""
    largest = np.maximum(a, b) + 1e-30
    return largest * ((a / largest) ** power + (b / largest) ** power) ** (1 / power)


def one(column: Column) -> float:
    """The only value of a column of shape (1,), or the scalar."""
    return float(np.asarray(column).reshape(-1)[0])
