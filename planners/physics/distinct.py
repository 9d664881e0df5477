"""Generation once per distinct row: a search over layouts and offers repeats the same engine 10 to 100 times."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.generate import GenerateTime, generate
from planners.physics.rows import distinct_rows, take_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planners.physics.columns import Column
    from planners.physics.constants import Constants
    from planners.physics.workload import Workload


def generate_distinct(c: Constants, w: Workload, *, grid_points: int) -> GenerateTime:
    """The same as `generate`, computed once per distinct combination of what generation depends on.

    Falls back to `generate` for scalars, for constants that are columns, and where most rows differ.
    """
    if any(np.ndim(getattr(c, f.name)) for f in fields(c)):
        return generate(c, w, grid_points=grid_points)
    columns = _columns(w)
    if any(np.ndim(column) > 1 for column in columns):
        return generate(c, w, grid_points=grid_points)
    found = distinct_rows(columns)
    if found is None or 2 * len(found[0]) > len(found[1]):
        return generate(c, w, grid_points=grid_points)
    rows, inverse = found
    made = generate(c, take_rows(w, rows), grid_points=grid_points)
    spread = {f.name: _spread(getattr(made, f.name), inverse) for f in fields(GenerateTime) if f.name != "parts"}
    parts = {name: _spread(seconds, inverse) for name, seconds in made.parts.items()}
    return GenerateTime(**spread, parts=parts)


def _spread(column: Column, inverse: NDArray[np.intp]) -> Column:
    return column if np.ndim(column) == 0 else np.asarray(column)[inverse]


def _columns(w: Workload) -> list[Column]:
    """Everything that `generate` reads."""
    groups = [getattr(group, f.name) for group in (w.model, w.gpu, w.rollout) for f in fields(group)]
    lay = w.layout
    engine = [lay.rollout_gpus, lay.rollout_gpus_per_replica, lay.rollout_attention_dp, lay.gpus_per_node]
    return [*groups, *engine, lay.sharding, w.train.rl, w.year]
