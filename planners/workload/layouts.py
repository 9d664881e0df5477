"""Layouts of a stage on machines, as columns, and everything else that decides how long it takes on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import UNKNOWN, Array, Column, GpuColumns
from planners.physics.constants import Constants


class Table:
    """Base of dataclasses whose fields are all arrays with one entry per row."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """The given rows; one may be there twice."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts(Table):
    """Columns of shape (n,).  `machine` is a row number; counts are floats because the physics divides by them."""

    machine: NDArray[np.int64]
    nodes: Array
    gpus: Array
    train_gpus: Array
    rollout_gpus: Array
    schedule: Array
    sharding: Array
    tp: Array
    pp: Array
    cp: Array
    ep: Array
    dp: Array
    recompute: Array
    micro_batch: Array
    """Sequences per micro batch and rank; 0 = what trainers usually take."""
    replica: Array

    def __len__(self) -> int:
        return len(self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingContext:
    """Everything besides its work that decides how long it takes."""

    constants: Constants
    gpu: GpuColumns
    layouts: Layouts
    gpus_per_node: Array
    year: float
    gpu_names: tuple[str, ...] = ()
    """Canonical names by `layouts.machine`; empty without GPUs."""
    slots: Column = UNKNOWN
    """Sandboxes at once, where trajectories hold them; NaN = no limit."""
    grid_points: int = 33
