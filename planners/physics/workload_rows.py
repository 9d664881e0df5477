"""Rows of workloads: stack scalars into columns, take rows, and time generation once per distinct row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Column, Workload
from planners.physics.constants import Constants
from planners.physics.generate import GenerateTime, generate

GROUPS = ("model", "gpu", "layout", "train", "rollout")
"""Fields of a workload that hold columns; the others are columns themselves."""

Group = TypeVar("Group")


def stack(workloads: Sequence[Workload]) -> Workload:
    """One workload with columns of shape (n,) from n workloads of scalars; n is at least 1."""
    groups = {name: _stack_group([getattr(w, name) for w in workloads]) for name in GROUPS}
    return replace(_stack_group(workloads, but=GROUPS), **groups)


def _stack_group(parts: Sequence[Group], but: Sequence[str] = ()) -> Group:
    names = [f.name for f in fields(parts[0]) if f.name not in but]  # type: ignore[arg-type]  # a dataclass of columns
    columns = {name: np.array([getattr(part, name) for part in parts], dtype=np.float64) for name in names}
    return replace(parts[0], **columns)  # type: ignore[type-var]


def take_rows(w: Workload, rows: NDArray[np.intp] | int) -> Workload:
    """The named rows of every column, or one row as scalars; scalars stay."""
    groups = {}
    for name in GROUPS:
        group = getattr(w, name)
        groups[name] = replace(group, **{f.name: _rows(getattr(group, f.name), rows) for f in fields(group)})
    return replace(w, **groups, environment_seconds=_rows(w.environment_seconds, rows), year=_rows(w.year, rows))


def _rows(column: Column, rows: NDArray[np.intp] | int) -> Column:
    return column if np.ndim(column) == 0 else np.asarray(column)[rows]


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


def generate_distinct(c: Constants, w: Workload, *, grid_points: int) -> GenerateTime:
    """The same as `generate`, computed once per distinct combination of what generation depends on: a search over
    layouts and offers repeats the same engine 10 to 100 times.

    Falls back to `generate` for scalars, for constants or columns of more axes, and where most rows differ.
    """
    lay = w.layout
    columns = [getattr(group, f.name) for group in (w.model, w.gpu, w.rollout) for f in fields(group)]
    columns += [lay.rollout_gpus, lay.rollout_gpus_per_replica, lay.rollout_pp, lay.rollout_attention_dp]
    columns += [lay.gpus_per_node, lay.sharding, w.train.rl, w.year]
    plain = not any(np.ndim(getattr(c, f.name)) for f in fields(c)) and all(np.ndim(column) < 2 for column in columns)
    found = distinct_rows(columns) if plain else None
    if found is None or 2 * len(found[0]) > len(found[1]):
        return generate(c, w, grid_points=grid_points)
    rows, inverse = found
    made = generate(c, take_rows(w, rows), grid_points=grid_points)
    spread = {f.name: _rows(getattr(made, f.name), inverse) for f in fields(GenerateTime) if f.name != "parts"}
    return GenerateTime(**spread, parts={name: _rows(seconds, inverse) for name, seconds in made.parts.items()})
