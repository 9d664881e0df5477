"""Candidates of one stage: layouts × slots, timed; of equal machines and nodes only the fastest layout is kept.

That is exact: a slower layout on the same machines costs more and takes longer, whatever they cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.physics.constants import Constants
from planners.physics.overhead import run_waste
from planners.remembered import remembered
from planners.search.layout_search import fitting_layouts
from planners.search.machines import MachineKind, timing_context
from planners.search.node_counts import NodeRange
from planners.search.pareto import best_by_group
from planners.search.rejections import Rejected, Rejections
from planners.search.search_space import NO_GPUS, slot_counts_for
from planners.units import SECONDS_PER_HOUR
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.sandbox_work import exposed_seconds
from planners.workload.stage_work import StageWork
from planners.workload.timing import time_work

SEARCH_GRID_POINTS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Columns of shape (n,): the fastest layout of each (machine, nodes, slots).  `machine` -1 = no GPUs."""

    machine: NDArray[np.int64]
    nodes: Array
    gpus: Array
    slots_row: NDArray[np.int64]
    """Row of `slot_counts`; -1 = the stage needs no sandbox."""
    hours: Array
    """Work of the whole stage, without start-up and interruptions."""
    layout: NDArray[np.int64]
    """Row of `layouts`."""
    layouts: Layouts
    compared: NDArray[np.int64]
    """Machine of every layout that fits."""
    slot_counts: Array
    """Slots."""


def stage_candidates(
    work: StageWork,
    machines: Sequence[MachineKind],
    allowed: NodeRange,
    constants: Constants,
    *,
    year: float,
    rejections: Rejections,
    owned_slots: Sequence[float] = (),
) -> Candidates:
    """Every machine, node count and number of slots with its fastest layout that fits."""
    wanted = work.sandbox_work
    whole_job = work.unit == "job"
    slot_counts = slot_counts_for(wanted, whole_job=whole_job, owned_slots=owned_slots) if wanted else np.array([0.0])

    timed = _timed(
        dataclasses.replace(work, title="", units=1.0, outcomes={}),
        tuple(machines),
        allowed,
        constants=constants,
        year=year,
        slot_counts=slot_counts,
    )
    rejections.rejected += timed.rejected
    layouts, compared = timed.layouts, timed.compared
    productive = timed.unit_seconds * work.units / SECONDS_PER_HOUR
    hours = productive * run_waste(constants, productive * layouts.gpus[:, None])
    rows, slots_row = np.indices(hours.shape).reshape(2, -1)
    group = _groups(layouts, rows, slots_row, len(slot_counts))
    kept = best_by_group(group, hours.ravel())
    row = rows[kept].astype(np.int64)
    return Candidates(
        machine=layouts.machine[row],
        nodes=layouts.nodes[row],
        gpus=layouts.gpus[row],
        slots_row=slots_row[kept].astype(np.int64) if wanted else np.full(len(kept), -1, dtype=np.int64),
        hours=hours.ravel()[kept],
        layout=row,
        layouts=layouts,
        compared=compared,
        slot_counts=slot_counts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """Layouts that fit, with seconds per unit of shape (layouts, slot counts)."""

    layouts: Layouts
    compared: NDArray[np.int64]
    unit_seconds: Array
    rejected: tuple[Rejected, ...]


@remembered(4)
def _timed(
    work: StageWork,
    machines: tuple[MachineKind, ...],
    allowed: NodeRange,
    *,
    constants: Constants,
    year: float,
    slot_counts: Array,
) -> _Timed:
    """What of the search doesn't depend on how many units there are: two ends of a change mostly share it."""

    def surroundings(some: Layouts) -> TimingContext:
        return timing_context(machines, some, constants, year=year, grid_points=SEARCH_GRID_POINTS)

    layouts, compared, rejections = NO_GPUS, NO_GPUS.machine, Rejections()
    if work.needs_gpus:
        layouts, compared = fitting_layouts(
            work, machines, allowed, at=surroundings, slots=slot_counts, rejections=rejections
        )
    return _Timed(
        layouts=layouts,
        compared=compared,
        unit_seconds=_unit_seconds(work, surroundings(layouts), slot_counts),
        rejected=tuple(rejections.rejected),
    )


def _unit_seconds(work: StageWork, at: TimingContext, slot_counts: Array) -> Array:
    """(layouts, slot_counts) seconds per unit.  Held sandboxes limit the live trajectories; each is timed anew."""
    if work.sandbox_work is None or not work.sandbox_work.stateful:
        timing = time_work(work, at)
        return timing.unit_seconds(exposed_seconds(work, timing, slot_counts[:, None])).T
    columns = []
    for slots in slot_counts:
        timing = time_work(work, dataclasses.replace(at, slots=float(slots)))
        columns.append(timing.unit_seconds(exposed_seconds(work, timing, np.full(len(at.layouts), slots))))
    return np.stack(columns, axis=1)


def _groups(
    layouts: Layouts, rows: NDArray[np.intp], slots_row: NDArray[np.intp], num_slot_counts: int
) -> NDArray[np.int64]:
    """A number per (machine, nodes, slots)."""
    nodes = layouts.nodes[rows].astype(np.int64)
    most = int(nodes.max(initial=0)) + 1
    return np.asarray(((layouts.machine[rows] + 1) * most + nodes) * num_slot_counts + slots_row, dtype=np.int64)
