"""What a case says about GPUs and their layout, with the usual answer where it says nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.physics.columns import FSDP, MEGATRON, SHARDINGS, Layout

if TYPE_CHECKING:
    from planners.physics.columns import GpuColumns, ModelColumns
    from planners.validation.case import Case

SPLIT_SCHEDULES = ("async", "disaggregated")
MEGATRON_FROM_PARAMS = 40e9
"""Below it, post-training without a stated stack is taken as FSDP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSplit:
    """GPUs of a case, in total and by role."""

    gpus: float
    train: float
    rollout: float
    stated: bool


def is_rl(case: Case) -> bool:
    """Does the case run whole RL steps?"""
    return case.kind in ("rl_step", "rl_run")


def schedule_of(case: Case) -> str:
    """The schedule; colocated where nothing is said."""
    return case.rollout.schedule or "colocated"


def power_of_two(x: float) -> float:
    """The smallest power of two that is at least x, at least 1."""
    return float(2 ** max(0, math.ceil(math.log2(max(x, 1e-9)))))


def split_gpus(case: Case, params: float) -> GpuSplit:
    """GPUs in total and by role.

    Not stated: pretraining 16 per 1e9 parameters (8 to 8192), else 64; a split that is not stated: half and half.
    """
    cluster = case.cluster
    total = cluster.gpus
    if total is None and cluster.rollout_gpus and cluster.train_gpus:
        total = cluster.rollout_gpus + cluster.train_gpus
    stated = total is not None
    if total is None:
        total = min(8192.0, max(8.0, power_of_two(params / 1e9 * 16))) if case.kind == "pretrain" else 64.0
    train = cluster.train_gpus or total - (cluster.rollout_gpus or 0.0)
    rollout = cluster.rollout_gpus or total
    if is_rl(case) and schedule_of(case) in SPLIT_SCHEDULES and cluster.rollout_gpus is None:
        rollout = max(1.0, total // 2)
        train = total - rollout
    return GpuSplit(gpus=total, train=max(train, 1.0), rollout=max(rollout, 1.0), stated=stated)


def sharding_of(case: Case, params: float) -> float:
    """Sharding class: stated; else FSDP for post-training below 40e9 parameters, Megatron for the rest."""
    usual = "fsdp" if params < MEGATRON_FROM_PARAMS and case.kind != "pretrain" else "megatron"
    return SHARDINGS.get((case.train.sharding or usual).lower(), FSDP)


def layout_of(case: Case, model: ModelColumns, gpu: GpuColumns, *, weight_bytes: float) -> Layout:
    """Layout of the case's GPUs; degrees that are not stated get the smallest that fits."""
    train, rollout = case.train, case.rollout
    params = float(model.params_total)
    split = split_gpus(case, params)
    sharding = sharding_of(case, params)
    tp, pp = train.tp, train.pp
    if sharding == MEGATRON and tp is None and pp is None:
        tp, pp = _model_parallel_that_fits(model, gpu)
    tp, pp, cp = tp or 1.0, pp or 1.0, train.cp or 1.0
    usual_ep = min(64.0 if params > 80e9 else 8.0, float(model.experts) or 1.0)
    replica = rollout.tp or power_of_two(params * weight_bytes / (0.5 * float(gpu.hbm_bytes)))
    trtllm_moe = rollout.engine == "trtllm" and float(model.experts) > 0
    return Layout(
        gpus=split.gpus,
        train_gpus=split.train,
        rollout_gpus=split.rollout,
        gpus_per_node=case.cluster.gpus_per_node or min(8.0, float(gpu.scale_up_domain)),
        tp=tp,
        pp=pp,
        cp=cp,
        ep=train.ep or usual_ep,
        dp=train.dp or max(1.0, split.train / (tp * pp * cp)),
        sharding=sharding,
        rollout_gpus_per_replica=min(replica * (rollout.pp or 1.0), split.rollout),
        rollout_attention_dp=float(trtllm_moe),
        virtual_stages=math.nan if train.virtual_stages is None else train.virtual_stages,
    )


def layout_is_stated(case: Case) -> bool:
    """Is enough said about the trainer's layout to compute its traffic?"""
    train = case.train
    fsdp_stated = (train.sharding or "").lower() == "fsdp" and train.micro_batch_samples is not None
    return train.dp is not None or train.tp is not None or fsdp_stated


def _model_parallel_that_fits(model: ModelColumns, gpu: GpuColumns) -> tuple[float, float]:
    """(tp, pp) so that 6 bytes per parameter (weights, gradients) fill half of HBM; optimizer states and experts
    shard further over data-parallel ranks."""
    half = 0.5 * float(gpu.hbm_bytes)
    params, experts = float(model.params_total), float(model.params_expert)
    need = max((params - 0.97 * experts) * 6 / half, params * 6 / half / 64)
    ranks = power_of_two(need)
    tp = min(8.0, ranks)
    return tp, max(1.0, ranks // tp)
