"""The GPUs of a case and their layout: as stated, else a guess about somebody else's run, where a plan would search."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from planners.domain import ModelShape
from planners.physics.codes import COLOCATED, FSDP, MEGATRON, RECOMPUTES, SHARDINGS
from planners.physics.columns import UNKNOWN, GpuColumns
from planners.physics.constants import Constants
from planners.physics.shape import model_columns
from planners.validation.case import Case
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.replicas import replica_gpus
from planners.workload.stage_work import StageWork

SPLIT_SCHEDULES = ("async", "disaggregated")
MEGATRON_FROM_PARAMS = 40e9
"""Below it, post-training without a stated stack is taken as FSDP."""
LAST_YEAR_OF_FULL_RECOMPUTE = 2022


def context_of(case: Case, work: StageWork, model: ModelShape, gpu: GpuColumns, *, year: float) -> TimingContext:
    """The one layout of a case; degrees that are not stated get the smallest that fits."""
    train, params = case.train, model.params_total
    total, train_gpus, rollout_gpus = _gpus(case, params)
    usual_sharding = "fsdp" if params < MEGATRON_FROM_PARAMS and case.kind != "pretrain" else "megatron"
    sharding = SHARDINGS.get((train.sharding or usual_sharding).lower(), FSDP)
    tp, pp = train.tp, train.pp
    if sharding == MEGATRON and tp is None and pp is None:
        tp, pp = _model_parallel_that_fits(model, gpu)
    tp, pp, cp = tp or 1.0, pp or 1.0, train.cp or 1.0
    per_node = case.cluster.gpus_per_node or min(8.0, float(gpu.scale_up_domain))
    columns = {
        "nodes": total / per_node,
        "gpus": total,
        "train_gpus": train_gpus,
        "rollout_gpus": rollout_gpus,
        "schedule": work.schedules[0] if work.schedules else COLOCATED,
        "sharding": sharding,
        "tp": tp,
        "pp": pp,
        "cp": cp,
        "ep": train.ep or (_usual_experts(model) if sharding == MEGATRON else 1.0),
        "dp": train.dp or max(1.0, train_gpus / (tp * pp * cp)),
        "micro_batch": 0.0,
        "recompute": _recompute(case, megatron=sharding == MEGATRON),
        "replica": 1.0,
    }
    one_row = {name: np.array([value]) for name, value in columns.items()}
    layouts = Layouts(machine=np.zeros(1, dtype=np.int64), **one_row)
    at = TimingContext(
        constants=Constants(),
        gpu=gpu,
        layouts=layouts,
        gpus_per_node=np.array([per_node]),
        year=year,
        slots=(case.sandbox and case.sandbox.parallel) or UNKNOWN,
    )
    if not work.generations:
        return at
    return replace(at, layouts=replace(layouts, replica=replica_gpus(at, work.generations[0])))


def _usual_experts(model: ModelShape) -> float:
    """Expert-parallel degree of Megatron-class trainers that state none."""
    return min(64.0 if model.params_total > 80e9 else 8.0, float(model.experts or 1))


def power_of_two(x: float) -> float:
    """The smallest power of two that is at least x, at least 1."""
    return float(2 ** max(0, math.ceil(math.log2(max(x, 1e-9)))))


def _gpus(case: Case, params: float) -> tuple[float, float, float]:
    """GPUs in total, of the trainer and of generation.

    Not stated: pretraining 16 per 1e9 parameters (8 to 8192), else 64; a split that is not stated: half and half.
    """
    cluster = case.cluster
    total = cluster.gpus
    if total is None and cluster.rollout_gpus and cluster.train_gpus:
        total = cluster.rollout_gpus + cluster.train_gpus
    if total is None:
        total = min(8192.0, max(8.0, power_of_two(params / 1e9 * 16))) if case.kind == "pretrain" else 64.0
    train = cluster.train_gpus or total - (cluster.rollout_gpus or 0.0)
    rollout = cluster.rollout_gpus or total
    if case.is_rl and case.schedule in SPLIT_SCHEDULES and cluster.rollout_gpus is None:
        rollout = max(1.0, total // 2)
        train = total - rollout
    return total, max(train, 1.0), max(rollout, 1.0)


RATES = ("tokens_per_second_per_gpu", "mfu", "step_seconds", "train_phase_seconds")
"""Metrics of a measured step, not of a whole run."""


def is_rate(case: Case) -> bool:
    """Is the figure a measured rate?  Those come from runs that somebody tuned."""
    return case.published.metric in RATES


def layout_is_stated(case: Case) -> bool:
    """Is enough said about the trainer's layout to compute its traffic?"""
    train = case.train
    fsdp_stated = (train.sharding or "").lower() == "fsdp" and train.micro_batch_samples is not None
    return train.dp is not None or train.tp is not None or fsdp_stated


def _recompute(case: Case, *, megatron: bool) -> float:
    """FSDP post-training recomputes everything; so did pretraining before selective recomputation and fused
    attention (arXiv:2205.05198, arXiv:2205.14135) were common."""
    if case.kind == "pretrain":
        usual = "full" if case.year is not None and case.year <= LAST_YEAR_OF_FULL_RECOMPUTE else "none"
    else:
        usual = "none" if megatron else "full"
    return RECOMPUTES.get((case.train.recompute or usual).lower(), 0.0)


def _model_parallel_that_fits(model: ModelShape, gpu: GpuColumns) -> tuple[float, float]:
    """(tp, pp) so that 6 bytes per parameter (weights, gradients) fill half of HBM; optimizer states and experts
    shard further over data-parallel ranks."""
    half = 0.5 * float(gpu.hbm_bytes)
    params, experts = model.params_total, float(model_columns(model).params_expert)
    need = max((params - 0.97 * experts) * 6 / half, params * 6 / half / 64)
    ranks = power_of_two(need)
    tp = min(8.0, ranks)
    return tp, max(1.0, ranks // tp)
