"""Which layouts of a stage are worth pricing: on each pool of GPUs the fastest of those that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from planners.physics.codes import COLOCATED, DISAGGREGATED
from planners.physics.columns import Array
from planners.physics.memory import FULL_SHARE, train_need
from planners.search.feasible import HOST_RULE, fitting, micro_batch_tokens, pools_key, serving_needs, training_needs
from planners.search.machines import MachineKind, timing_context
from planners.search.node_counts import NodeRange
from planners.search.pareto import best_by_group, pair
from planners.search.rejections import Rejections
from planners.search.search_space import enumerate_layouts, layout_options, recomputes_of
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.replicas import replica_gpus
from planners.workload.stage_work import StageWork
from planners.workload.supervised import BATCH
from planners.workload.timing import time_work
from planners.workload.work_columns import training_workload

BLOCK_ROWS = 16_384
"""Layouts that are timed at once: few enough for their columns to stay in the processor's cache."""
SIMPLER_SHARE = 0.03
"""A layout with less pipelining and context parallelism is taken if it makes the step this much longer at most, less
than estimates tell apart: such layouts are easier to set up and to debug."""
Timed = Callable[[Layouts], TimingContext]
"""From layouts to their surroundings."""


def fitting_layouts(
    work: StageWork,
    machines: Sequence[MachineKind],
    allowed: NodeRange,
    *,
    at: Timed,
    slots: Array,
    rejections: Rejections,
) -> tuple[Layouts, NDArray[np.int64]]:
    """On each pool of GPUs the replicas that generate fastest and the layout that trains fastest beside them; and the
    machine of every layout that fits.

    That is exact: neither side depends on the layout of the other, and a slower side never makes a shorter step.
    """
    options = layout_options(work)
    served = None
    if work.generations:
        every = enumerate_layouts(machines, dataclasses.replace(options, trains=False), allowed)
        whole = _whole_replicas(work, machines, at(every))
        served = fitting(whole.layouts, serving_needs(work, whole), machines, rejections)
        if work.training is None:
            return served, served.machine
        served = served.take(_fastest_replicas(work, machines, at(served), slots))
    layouts = enumerate_layouts(machines, dataclasses.replace(options, generates=False), allowed)
    if served is not None:
        row, beside = pair(pools_key(served), pools_key(layouts))
        layouts = dataclasses.replace(layouts.take(beside), replica=served.replica[row])
    least = _least_recompute(work, at(layouts))
    fit = fitting(least.layouts, training_needs(work, machines, least), machines, rejections)
    even = fit.take(_shares_evenly(work, fit))
    return even.take(_fastest_trainers(work, even, at)), fit.machine


def _shares_evenly(work: StageWork, layouts: Layouts) -> NDArray[np.bool_]:
    """Whether the data-parallel ranks of a layout share a stated batch evenly, as trainers on data want it.

    All layouts where none does, and where no batch is stated: then the job takes one that its ranks share.
    """
    assert work.training is not None
    assumed = {one.name.rpartition(".")[2] for one in work.assumed}  # their names begin with the stage's
    stated = not work.training.rl and BATCH not in assumed
    even = np.asarray(stated & (np.mod(work.training.batch_sequences, layouts.dp) == 0))
    return even if even.any() else np.ones(len(layouts), dtype=bool)


def _fastest_trainers(work: StageWork, layouts: Layouts, at: Timed) -> NDArray[np.int64]:
    """Rows of the simplest of the layouts that train fastest, of each pool of GPUs and each size of its replicas."""
    alone = dataclasses.replace(work, generations=work.generations[:1], apis=())
    blocks = np.split(np.arange(len(layouts)), range(BLOCK_ROWS, len(layouts), BLOCK_ROWS))
    contexts = (dataclasses.replace(at(layouts.take(block)), grid_points=0) for block in blocks)
    trainer = np.concatenate([time_work(alone, context).trainer for context in contexts])
    group = pools_key(layouts) * 64 + np.log2(layouts.replica).astype(np.int64)
    fastest = best_by_group(group, trainer)
    whole = time_work(work, at(layouts.take(fastest)))
    number = np.searchsorted(group[fastest], group)
    step = np.asarray(whole.trainer + whole.generate + whole.judging + whole.sync)[number]
    near = trainer - trainer[fastest][number] <= SIMPLER_SHARE * step
    return best_by_group(group, np.where(near, layouts.pp * layouts.cp + trainer / (trainer + step), np.inf))


def _fastest_replicas(
    work: StageWork, machines: Sequence[MachineKind], at: TimingContext, slot_counts: Array
) -> NDArray[np.int64]:
    """Rows of the layouts that generate fastest, of each pool of GPUs and each number of sandboxes held at once."""
    held = slot_counts if work.sandbox_work is not None and work.sandbox_work.stateful else [np.inf]
    in_turn, rows = _takes_turns(work, machines, at), set[int]()
    for slots in held:
        timing = time_work(work, dataclasses.replace(at, slots=float(slots)))
        seconds = np.broadcast_to(timing.generate + timing.judging, len(at.layouts))
        best = best_by_group(pools_key(at.layouts), seconds)
        rows.update(best[may_win(at.layouts, in_turn, seconds + timing.sync)[best]].tolist())
    return np.array(sorted(rows), dtype=np.int64)


def _takes_turns(work: StageWork, machines: Sequence[MachineKind], at: TimingContext) -> NDArray[np.bool_]:
    """Whether all GPUs of a layout generate and train in turn, and the hosts have memory for it."""
    in_turn = at.layouts.schedule == COLOCATED
    if work.training is None or not (at.layouts.schedule == DISAGGREGATED).any():
        return np.asarray(in_turn)
    fits = (need.fits for rule, need in training_needs(work, machines, at) if rule == HOST_RULE)
    return np.asarray(in_turn & next(fits, np.True_))


def may_win(layouts: Layouts, in_turn: NDArray[np.bool_], seconds: Array) -> NDArray[np.bool_]:
    """False for pools in lockstep that generate and sync in more `seconds` than all GPUs of the same machines do in
    turn: fewer GPUs don't train faster either.  They stay where the hosts lack memory for taking turns."""
    lockstep = layouts.schedule == DISAGGREGATED
    if not lockstep.any():
        return np.ones(len(layouts), dtype=bool)
    _, fleet = np.unique(layouts.machine * 65_537 + layouts.nodes.astype(np.int64), return_inverse=True)
    least = np.full(len(layouts), np.inf)
    np.minimum.at(least, fleet[in_turn], seconds[in_turn])
    return np.asarray(~lockstep | (seconds < least[fleet]))


def _whole_replicas(work: StageWork, machines: Sequence[MachineKind], at: TimingContext) -> TimingContext:
    """Replicas widened until the main model's weights fit; layouts that they then do not divide, or that spread over
    machines not meant for it, are dropped."""
    replica = replica_gpus(at, work.generations[0])
    layouts = dataclasses.replace(at.layouts, replica=replica)
    shards = np.array([machine.shards for machine in machines], dtype=bool)[layouts.machine]
    whole = layouts.take((np.mod(layouts.rollout_gpus, replica) == 0) & (shards | (replica <= at.gpus_per_node)))
    return timing_context(machines, whole, at.constants, year=at.year, grid_points=at.grid_points)


def _least_recompute(work: StageWork, at: TimingContext) -> TimingContext:
    """Each layout with the least recomputation of activations that leaves some memory free, else with the least that
    fits: more of it only costs time."""
    assert work.training is not None
    trained, tokens = training_workload(work, at), micro_batch_tokens(work, at)
    roomy: Array = np.full(len(at.layouts), np.nan)
    fits: Array = np.zeros(len(at.layouts))
    for recompute in reversed(recomputes_of(work.training.options)):
        tried = dataclasses.replace(trained, train=dataclasses.replace(trained.train, recompute=recompute))
        need = train_need(tried, micro_batch_tokens=tokens)
        filled = need.total_bytes
        fits = np.where(filled <= need.available_bytes, recompute, np.maximum(fits, recompute))
        roomy = np.where(filled <= FULL_SHARE * need.available_bytes, recompute, roomy)
    chosen = np.where(np.isnan(roomy), fits, roomy)
    return dataclasses.replace(at, layouts=dataclasses.replace(at.layouts, recompute=chosen))
