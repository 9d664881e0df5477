"""What the search varies for a stage: layouts and numbers of sandboxes.

Candidate layouts as columns: machines × nodes × (schedule, split, tp, pp, ep, recompute, replica size).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from planners.domain import ModelShape
from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED, FSDP, MEGATRON, RECOMPUTES, SHARDINGS
from planners.physics.columns import Array
from planners.search.machines import MachineKind
from planners.search.node_counts import NodeRange, node_counts
from planners.spec.shapes import tensor_parallel_degrees
from planners.spec.stage_options import TrainOptions
from planners.units import SECONDS_PER_HOUR
from planners.workload.layouts import Layouts
from planners.workload.stage_work import SandboxWork, StageWork, Training

JUDGE_TARGET_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 900.0)
"""Sandbox fleets are tried that would judge all samples of a unit in these many seconds."""
JOB_TARGET_HOURS = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The same for stages whose unit is the whole job."""
HELD_SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of the trajectories of a unit, that hold a sandbox at once."""
MICRO_BATCH_TOKENS = (1.0, 2.0**13, 2.0**14, 2.0**16)
"""Tokens per micro batch and rank that are tried, in whole sequences; and what trainers usually take."""
MANY_EXPERTS_PARAMS = 80e9


def layout_options(work: StageWork) -> Options:
    """What may vary for a stage: stated degrees are kept, the rest is searched."""
    training = work.training
    if training is None:
        return Options(trains=False, generates=bool(work.generations), replicas=_replicas(work))
    options = training.options
    shardings: tuple[float, ...] = (FSDP, MEGATRON)  # what published runs cover; others where they are stated
    if options.sharding in SHARDINGS:
        shardings = (SHARDINGS[options.sharding],)
    if any(degree and degree > 1 for degree in (options.tp, options.pp, options.ep)):
        shardings = tuple(s for s in shardings if s != FSDP) or shardings
    return Options(
        trains=True,
        generates=bool(work.generations),
        schedules=work.schedules or (COLOCATED,),
        rollout_shares=(work.rollout_share,) if work.rollout_share else (0.25, 0.5, 0.75),
        shardings=shardings,
        tps=(options.tp,) if options.tp else _training_tps(training.model),
        tp_is_stated=options.tp is not None,
        pps=(options.pp,) if options.pp else (1, 2, 4, 8, 16),
        cps=(options.cp,) if options.cp else ((1, 2, 4, 8) if training.longest_sequence > 16_384 else (1,)),
        eps=(options.ep,) if options.ep else _expert_degrees(training.model),
        recompute=recomputes_of(options)[0],
        micro_batches=(float(options.micro_batch_samples),)
        if options.micro_batch_samples
        else _usual_micro_batches(training),
        batch_sequences=sequences_per_update(work),
        replicas=_replicas(work),
    )


def _replicas(work: StageWork) -> tuple[int, ...]:
    """GPUs per rollout replica: tp x pp where tp is stated."""
    options = work.generations[0].options if work.generations else None
    return (options.tp * (options.pp or 1),) if options and options.tp else REPLICAS


def _training_tps(model: ModelShape) -> tuple[int, ...]:
    allowed = tensor_parallel_degrees(model)
    return tuple(tp for tp in (1, 2, 4, 8) if not allowed or tp in allowed)


def recomputes_of(options: TrainOptions) -> tuple[float, ...]:
    """Activation recomputation that may be used, the fastest first."""
    return tuple(sorted(RECOMPUTES.values())) if options.recompute == "auto" else (RECOMPUTES[options.recompute],)


def _usual_micro_batches(training: Training) -> tuple[float, ...]:
    """Sequences per micro batch and rank: powers of two; 0 = what trainers usually take."""
    sequences = {2.0 ** max(round(log2(tokens / training.seq_len)), 0) for tokens in MICRO_BATCH_TOKENS}
    return (0.0, *sorted(sequences))


def sequences_per_update(work: StageWork) -> float:
    """Sequences per optimizer update: micro batches of all ranks hold no more."""
    training = work.training
    if training is None or not training.rl:
        return training.batch_sequences if training else float("inf")
    return work.generations[0].samples / training.updates_per_step if work.generations else float("inf")


def _expert_degrees(model: ModelShape) -> tuple[int, ...]:
    """Expert-parallel degrees: none, and those around what calibrated MoE trainers use."""
    if model.experts is None:
        return (1,)
    usual = (1, 2, 4, 8) if model.params_total < MANY_EXPERTS_PARAMS else (1, 8, 16, 32, 64)
    return tuple(degree for degree in usual if degree <= model.experts) or (1,)


def slot_counts_for(work: SandboxWork, *, whole_job: bool, owned_slots: Sequence[float] = ()) -> Array:
    """Numbers of slots to try, ascending and distinct; `owned_slots`: what pools that exist already hold."""
    most = min(work.most_at_once, work.trajectories if work.stateful else max(work.calls, 1.0))
    if work.stateful:
        wanted = np.array([share * work.trajectories for share in HELD_SHARES])
    else:
        busy_seconds = work.calls * work.service.mean_seconds
        targets = [h * SECONDS_PER_HOUR for h in JOB_TARGET_HOURS] if whole_job else JUDGE_TARGET_SECONDS
        wanted = np.array([busy_seconds / seconds for seconds in targets])
    wanted = np.concatenate([np.ceil(wanted), np.asarray(owned_slots, dtype=np.float64)])
    return np.array(sorted(set(np.clip(wanted, 1.0, np.ceil(most)).tolist())))


REPLICAS = (1, 2, 4, 8, 16, 32)
"""GPUs per rollout replica that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may vary.  A spec that fixes a value gives a tuple of one."""

    trains: bool
    generates: bool
    schedules: tuple[float, ...] = (COLOCATED,)
    rollout_shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Of the nodes, for split schedules."""
    shardings: tuple[float, ...] = (FSDP,)
    tps: tuple[int, ...] = (1, 2, 4, 8)
    tp_is_stated: bool = False
    """Then it may leave the scale-up domain."""
    pps: tuple[int, ...] = (1, 2, 4, 8)
    cps: tuple[int, ...] = (1,)
    eps: tuple[int, ...] = (1,)
    recompute: float = 1.0
    micro_batches: tuple[float, ...] = (0.0,)
    batch_sequences: float = float("inf")
    """Sequences per update: micro batches of all ranks hold no more."""
    replicas: tuple[int, ...] = REPLICAS


def _no_gpus() -> Layouts:
    columns = {name: np.zeros(1) for name in Layouts.__dataclass_fields__}
    return Layouts(**(columns | {"machine": np.array([-1], dtype=np.int64)}))  # type: ignore[arg-type]  # mixed dtypes


NO_GPUS = _no_gpus()
"""The one layout of a stage that rents no GPUs: machine -1, no nodes."""


def _templates(options: Options) -> Array:
    """(k, 8) array of sharding, tp, pp, cp, ep, recompute, micro batch, replica."""
    trains: list[tuple[float, ...]] = [(FSDP, 1, 1, 1, 1, 0.0, 0.0)]
    if options.trains:
        trains = []
        for sharding in options.shardings:
            fixed = sharding != MEGATRON
            axes = (
                (1,) if fixed else options.tps,
                (1,) if fixed else options.pps,
                options.cps,
                (1,) if fixed else options.eps,
            )
            rest = ((options.recompute,), _micro_batches(options, sharding))
            trains += [(sharding, *axis) for axis in itertools.product(*axes, *rest)]
    replicas = options.replicas if options.generates else (1,)
    return np.array([(*train, replica) for train in trains for replica in replicas], dtype=np.float64)


def _micro_batches(options: Options, sharding: float) -> tuple[float, ...]:
    """Micro batches to try; Megatron's usual one is one sequence already."""
    return tuple(micro for micro in options.micro_batches if micro != 1.0 or sharding != MEGATRON) or (1.0,)


def _pools(machines: Sequence[MachineKind], options: Options, allowed: NodeRange) -> Array:
    """(n, 5) array of machine, GPUs per node, nodes, schedule and rollout nodes; no split twice."""
    shares = dict.fromkeys((DISAGGREGATED, ASYNC), options.rollout_shares)
    splits = [(schedule, share) for schedule in options.schedules for share in shares.get(schedule, (1.0,))]
    rows = {
        (i, machine.gpus_per_node, n, schedule, n if schedule == COLOCATED else max(round(n * share), 1))
        for i, machine in enumerate(machines)
        for n in node_counts(machine, allowed)
        for schedule, share in splits
    }
    return np.array(sorted(rows), dtype=np.float64).reshape(-1, 5)


def _divides(by: Array, counts: Array) -> NDArray[np.bool_]:
    """Whether whole numbers divide by others; a remainder takes ten times as long to compute."""
    quotient = counts / by
    return np.asarray(quotient == np.floor(quotient))


def enumerate_layouts(machines: Sequence[MachineKind], options: Options, allowed: NodeRange) -> Layouts:
    """Every layout whose degrees divide its GPUs.  Not yet checked for memory.

    tp divides a node, or is whole nodes: of a rack, or anywhere where it is stated; a replica divides a node or is
    whole nodes; tp·pp·cp divides the training GPUs; a replica divides the rollout GPUs; split schedules need whole
    nodes on both sides.  Nothing is sharded over machines that are not meant for it (`MachineKind.shards`).
    """
    pools = _pools(machines, options, allowed)
    links = np.array([(m.shards, m.scale_up_domain) for m in machines], dtype=np.float64).reshape(-1, 2)
    alike = np.column_stack([pools[:, 1:], links[pools[:, 0].astype(np.int64)]])
    distinct, which = np.unique(alike, axis=0, return_inverse=True)  # machines of one shape divide alike
    # Pools downwards, templates across: most combinations don't divide, and only the others become rows.
    per_node, nodes, schedule, rollout_nodes, shards, domain = distinct.T[:, :, None]
    sharding, tp, pp, cp, ep, recompute, micro, replica = _templates(options).T[:, None, :]
    train_nodes = np.where(schedule == COLOCATED, nodes, nodes - rollout_nodes)
    train_gpus, rollout_gpus = train_nodes * per_node, rollout_nodes * per_node
    ranks = tp * pp * cp
    with np.errstate(invalid="ignore"):
        spans = _divides(per_node, tp) & ((tp <= domain) | options.tp_is_stated)
        valid = (train_nodes >= 1) & (_divides(tp, per_node) | spans)
        valid &= _divides(ranks, train_gpus) & _divides(replica, rollout_gpus)
        valid &= (micro <= 1) | (micro * train_gpus / ranks <= np.maximum(options.batch_sequences, micro))
        valid &= (ep <= 1) | _divides(ep, train_gpus / pp)
        valid &= _divides(replica, per_node) | _divides(per_node, replica)
    valid &= (shards > 0) | ((replica <= per_node) & ((train_nodes <= 1) | (not options.trains)))
    row, way = np.nonzero(valid[which.reshape(-1)])
    pool, gpus = which.reshape(-1)[row], nodes * per_node
    return Layouts(
        machine=pools[row, 0].astype(np.int64),
        nodes=nodes[pool, 0],
        gpus=gpus[pool, 0],
        train_gpus=train_gpus[pool, 0],
        rollout_gpus=rollout_gpus[pool, 0],
        schedule=schedule[pool, 0],
        sharding=sharding[0, way],
        tp=tp[0, way],
        pp=pp[0, way],
        cp=cp[0, way],
        ep=ep[0, way],
        dp=train_gpus[pool, 0] / ranks[0, way],
        recompute=recompute[0, way],
        micro_batch=micro[0, way],
        replica=replica[0, way],
    )
