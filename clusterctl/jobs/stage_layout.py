"""The layout of a stage as numbers, for a framework's configuration: what the plan chose and what its spec states.

The plan's page names the replicas in words; here they are read back, so that page and configuration can't differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterctl.errors import StateError
from planners.plan.value import Plan, Pool, StagePlan
from planners.workload.work_columns import COLOCATED_MEMORY_SHARE, SERVING_MEMORY_SHARE

ENGINE = re.compile(r"rollout TP (?P<tp>\d+)(?: × PP (?P<pp>\d+))? × (?P<replicas>[\d,]+) replicas?")
TRAINER, ROLLOUT, BOTH, SANDBOX = "trainer", "rollout", "trainer+rollout", "sandbox"
"""What pools of a plan are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLayout:
    """Degrees, GPUs and shares of memory of one stage.  Counts are 0 or 1 where there is no such part."""

    schedule: str
    """colocated, disaggregated or async; empty where nothing is trained by reinforcement."""
    sharding: str
    """megatron, fsdp, zero1, zero2 or ddp; empty where nothing trains on GPUs."""
    dp: int
    tp: int
    pp: int
    cp: int
    ep: int
    recompute: str
    """no, selective or full."""
    engines: int
    """Rollout replicas."""
    engine_tp: int
    engine_pp: int
    engine_memory_share: float
    """Of a GPU's memory, for weights, KV cache and workspace of the engine."""
    train_nodes: int
    rollout_nodes: int
    gpus_per_node: int

    @property
    def colocated(self) -> bool:
        """Whether the same GPUs generate and train in turn."""
        return self.schedule == "colocated"

    @property
    def train_gpus(self) -> int:
        """GPUs that train."""
        return self.train_nodes * self.gpus_per_node

    @property
    def rollout_gpus(self) -> int:
        """GPUs of all replicas that generate."""
        return self.engines * self.engine_tp * self.engine_pp

    @property
    def degrees(self) -> str:
        """How the trainer is split, in words."""
        several = [f"{name} {getattr(self, name)}" for name in ("tp", "pp", "cp", "ep") if getattr(self, name) > 1]
        return f"{self.sharding} {', '.join(several)}".strip()

    @property
    def nodes(self) -> int:
        """Nodes with GPUs."""
        return self.train_nodes if self.colocated else self.train_nodes + self.rollout_nodes


def stage_layout(plan: Plan, stage: StagePlan) -> StageLayout:
    """The layout of a stage of the plan.  Raises StateError for a plan whose replicas can't be read."""
    shown = stage.layout
    pools = stage_pools(plan, stage.name)
    trained, served = pools.get(TRAINER) or pools.get(BOTH), pools.get(ROLLOUT) or pools.get(BOTH)
    rollout = str(shown.get("rollout", ""))
    engine = ENGINE.match(rollout)
    if rollout and engine is None:
        raise StateError(f"the plan's layout `{rollout}` can't be read", hint="plan it again with this clusterctl")
    schedule = str(shown.get("schedule", ""))
    some = trained or served
    return StageLayout(
        schedule=schedule,
        sharding=str(shown.get("sharding", "")),
        dp=_count(stage, "dp"),
        tp=_count(stage, "tp"),
        pp=_count(stage, "pp"),
        cp=_count(stage, "cp"),
        ep=_count(stage, "ep"),
        recompute=str(shown.get("recompute", "no recompute")).removesuffix(" recompute"),
        engines=int(engine["replicas"].replace(",", "")) if engine else 0,
        engine_tp=int(engine["tp"]) if engine else 1,
        engine_pp=int(engine["pp"] or 1) if engine else 1,
        engine_memory_share=COLOCATED_MEMORY_SHARE if schedule == "colocated" else SERVING_MEMORY_SHARE,
        train_nodes=trained.nodes if trained else 0,
        rollout_nodes=served.nodes if served else 0,
        gpus_per_node=some.gpus_per_node if some else 0,
    )


def stage_pools(plan: Plan, stage: str) -> dict[str, Pool]:
    """The pools of a stage, by what they are for."""
    return {pool.role: pool for pool in plan.pools if pool.stage == stage}


def _count(stage: StagePlan, name: str) -> int:
    return round(float(stage.layout.get(name, 1)))
