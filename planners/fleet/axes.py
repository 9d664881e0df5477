"""What the search varies for a demand: layouts and numbers of sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.fleet.layouts import REPLICAS, Options
from planners.physics.workload import COLOCATED, FSDP, MEGATRON, RECOMPUTES, SHARDINGS
from planners.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.demand.needs import Demand, Sandboxing
    from planners.domain import ModelShape
    from planners.physics.columns import Array

JUDGE_TARGET_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 900.0)
"""Sandbox fleets are tried that would judge all samples of a unit in these many seconds."""
JOB_TARGET_HOURS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The same for stages whose unit is the whole job."""
HELD_SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Of the trajectories of a unit, that hold a sandbox at once."""
LARGE_MODEL_PARAMS = 10e9
"""From here on Megatron-class layouts are tried beside FSDP."""
MANY_EXPERTS_PARAMS = 80e9


def layout_options(demand: Demand) -> Options:
    """What may vary for a demand: stated degrees are kept, the rest is searched."""
    learning = demand.learning
    if learning is None:
        fixed = demand.servings[0].options.tp if demand.servings else None
        replicas = (fixed,) if fixed else REPLICAS
        return Options(trains=False, generates=bool(demand.servings), replicas=replicas)
    options = learning.options
    big = learning.model.params_total >= LARGE_MODEL_PARAMS
    moe = learning.model.experts is not None
    shardings: tuple[float, ...] = (FSDP, MEGATRON) if big or moe else (FSDP,)
    if options.sharding in SHARDINGS:
        shardings = (SHARDINGS[options.sharding],)
    if any(degree and degree > 1 for degree in (options.tp, options.pp, options.ep)):
        shardings = tuple(s for s in shardings if s != FSDP) or shardings
    recomputes: tuple[float, ...] = (1.0, 0.1) if not learning.rl else (1.0,)
    if options.recompute in RECOMPUTES:
        recomputes = (RECOMPUTES[options.recompute],)
    replica = demand.servings[0].options.tp if demand.servings else None
    return Options(
        trains=True,
        generates=bool(demand.servings),
        schedules=demand.schedules or (COLOCATED,),
        rollout_shares=(demand.rollout_share,) if demand.rollout_share else (0.25, 0.5, 0.75),
        shardings=shardings,
        tps=(options.tp,) if options.tp else (1, 2, 4, 8),
        pps=(options.pp,) if options.pp else ((1, 2, 4, 8, 16) if learning.model.params_total > 60e9 else (1, 2, 4)),
        cps=(options.cp,) if options.cp else ((1, 2, 4, 8) if learning.seq_len > 16_384 else (1,)),
        eps=(options.ep,) if options.ep else _expert_degrees(learning.model),
        recomputes=recomputes,
        replicas=(replica,) if replica else REPLICAS,
    )


def _expert_degrees(model: ModelShape) -> tuple[int, ...]:
    """Expert-parallel degrees: what calibrated MoE trainers use.  With fewer ranks each expert sees too few tokens for
    an efficient GEMM, which the physics leaves out."""
    if model.experts is None:
        return (1,)
    usual = (8,) if model.params_total < MANY_EXPERTS_PARAMS else (16, 32, 64)
    return tuple(degree for degree in usual if degree <= model.experts) or (1,)


def wishes_for(demand: Sandboxing, *, whole_job: bool, owned_slots: Sequence[float] = ()) -> Array:
    """Numbers of slots to try, ascending and distinct; `owned_slots`: what pools that exist already hold."""
    most = min(demand.most_at_once, demand.trajectories if demand.stateful else max(demand.calls, 1.0))
    if demand.stateful:
        wanted = np.array([share * demand.trajectories for share in HELD_SHARES])
    else:
        work = demand.calls * demand.service.mean_seconds
        targets = [h * SECONDS_PER_HOUR for h in JOB_TARGET_HOURS] if whole_job else JUDGE_TARGET_SECONDS
        wanted = np.array([work / seconds for seconds in targets])
    wanted = np.concatenate([np.ceil(wanted), np.asarray(owned_slots, dtype=np.float64)])
    return np.array(sorted(set(np.clip(wanted, 1.0, np.ceil(most)).tolist())))
