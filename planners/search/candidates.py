"""Candidates of one stage: layouts × slots, timed; of equal machines and nodes only the fastest layout is kept.

That is exact: a slower layout on the same machines costs more and takes longer, whatever they cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import ASYNC, Array
from planners.physics.constants import Constants
from planners.physics.memory import FULL_SHARE
from planners.physics.overhead import run_waste
from planners.physics.sandbox_times import judge_exposed_seconds, start_seconds
from planners.search.feasible import fitting, train_memory
from planners.search.machines import MachineKind, machine_columns
from planners.search.pareto import best_by_group
from planners.search.rejections import Rejections
from planners.search.search_space import (
    NO_GPUS,
    NodeRange,
    enumerate_layouts,
    layout_options,
    recomputes_of,
    slot_counts_for,
)
from planners.units import SECONDS_PER_HOUR
from planners.workload.factor_lookup import find_factor
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.stage_work import StageWork
from planners.workload.timing import Timing, time_work
from planners.workload.work_columns import replica_gpus

SEARCH_GRID_POINTS = 9
BLOCK_ROWS = 16_384
"""Layouts that are timed at once: few enough for their columns to stay in the processor's cache."""
SLOTS_PER_NODE = 64.0
"""Sandboxes per node for the start budget, before the machines are chosen.  Assumption."""


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
    slot_counts: Array
    """Slots."""


def exposed_seconds(work: StageWork, timing: Timing, slots: Array) -> Array:
    """Seconds per unit in which nothing hides the sandboxes.  Broadcasts timing (layouts) against slots.

    Judging after generation, plus starts where trajectories hold their sandbox.  With k steps of staleness a share
    k/(1+k) of the wait for the last runs is hidden, as the schedule hides the tail of generation; what remains is the
    backlog. What own runs taught of the sandboxes multiplies the result.
    """
    wanted = work.sandbox_work
    if wanted is None:
        return np.zeros(np.broadcast_shapes(np.shape(timing.generate), np.shape(slots)))
    plain = timing.by_physics or timing
    beside = np.maximum(np.asarray(plain.generate + plain.judging + 0.0 * slots), plain.api)
    judged = judge_exposed_seconds(
        calls=wanted.calls,
        service=wanted.service,
        slots=slots,
        generate_seconds=beside,
        overlap_share=wanted.overlap_share,
    )
    if wanted.stateful:
        judged = judged + start_seconds(
            starts=np.minimum(slots, wanted.trajectories),
            nodes=np.maximum(slots / SLOTS_PER_NODE, 1.0),
            starts_per_second_per_node=wanted.starts_per_second_per_node,
            seconds_per_start=wanted.start_seconds.mean,
        )
    stale = work.staleness_steps
    hidden = np.where(np.equal(timing.schedule, ASYNC), stale / (1.0 + stale), 0.0)
    backlog = np.maximum(wanted.calls * wanted.service.mean_seconds / slots - beside, 0.0)
    exposed = (1.0 - hidden) * judged + hidden * np.minimum(backlog, judged)
    learned = find_factor(work, "sandbox", gpu="", sharding="")
    return np.asarray(exposed if learned is None else exposed * np.exp(learned.log_factor))


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
    needs_gpus = work.needs_gpus
    layouts = enumerate_layouts(machines, layout_options(work), allowed) if needs_gpus else NO_GPUS

    def surroundings(some: Layouts) -> TimingContext:
        return timing_context(machines, some, constants, year=year, grid_points=SEARCH_GRID_POINTS)

    if needs_gpus:
        at = _whole_replicas(work, machines, surroundings(layouts))
        layouts = fitting(work, machines, _least_recompute(work, at), rejections)
    blocks = np.split(np.arange(len(layouts)), range(BLOCK_ROWS, len(layouts), BLOCK_ROWS))
    seconds = np.concatenate([_unit_seconds(work, surroundings(layouts.take(block)), slot_counts) for block in blocks])
    productive = seconds * work.units / SECONDS_PER_HOUR
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
        slot_counts=slot_counts,
    )


def timing_context(
    machines: Sequence[MachineKind], layouts: Layouts, constants: Constants, *, year: float, grid_points: int
) -> TimingContext:
    """The physics' surroundings of some layouts.  A stage without GPUs gets a stand-in that nothing reads."""
    if len(machines) and (layouts.machine >= 0).all():
        gpu = machine_columns(list(machines), layouts.machine)
        per_node = np.array([float(machine.gpus_per_node) for machine in machines])[layouts.machine]
    else:
        gpu, per_node = machine_columns([], layouts.machine[:0]), np.ones(len(layouts))
    return TimingContext(
        constants=constants,
        gpu=gpu,
        layouts=layouts,
        gpus_per_node=per_node,
        year=year,
        grid_points=grid_points,
        gpu_names=tuple(machine.gpu.name for machine in machines),
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


def _whole_replicas(work: StageWork, machines: Sequence[MachineKind], at: TimingContext) -> TimingContext:
    """Replicas widened until the main model's weights fit; layouts that they then do not divide, or that spread over
    machines not meant for it, are dropped."""
    if not work.generations:
        return at
    replica = replica_gpus(at, work.generations[0])
    layouts = dataclasses.replace(at.layouts, replica=replica)
    shards = np.array([machine.shards for machine in machines], dtype=bool)[layouts.machine]
    whole = layouts.take((np.mod(layouts.rollout_gpus, replica) == 0) & (shards | (replica <= at.gpus_per_node)))
    return timing_context(machines, whole, at.constants, year=at.year, grid_points=at.grid_points)


def _least_recompute(work: StageWork, at: TimingContext) -> TimingContext:
    """Each layout with the least recomputation of activations that leaves some memory free, else with the least that
    fits: more of it only costs time."""
    if work.training is None:
        return at
    roomy: Array = np.full(len(at.layouts), np.nan)
    fits: Array = np.zeros(len(at.layouts))
    for recompute in reversed(recomputes_of(work.training.options)):
        tried = dataclasses.replace(at.layouts, recompute=np.full(len(at.layouts), recompute))
        need = train_memory(work, dataclasses.replace(at, layouts=tried))
        fits = np.where(need.fits, recompute, np.maximum(fits, recompute))
        roomy = np.where(need.total_bytes <= FULL_SHARE * need.available_bytes, recompute, roomy)
    chosen = np.where(np.isnan(roomy), fits, roomy)
    return dataclasses.replace(at, layouts=dataclasses.replace(at.layouts, recompute=chosen))


def _groups(
    layouts: Layouts, rows: NDArray[np.intp], slots_row: NDArray[np.intp], num_slot_counts: int
) -> NDArray[np.int64]:
    """A number per (machine, nodes, slots)."""
    nodes = layouts.nodes[rows].astype(np.int64)
    most = int(nodes.max(initial=0)) + 1
    return np.asarray(((layouts.machine[rows] + 1) * most + nodes) * num_slot_counts + slots_row, dtype=np.int64)
