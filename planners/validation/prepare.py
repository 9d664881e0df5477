"""From a case to a workload, with a list of the decisive inputs that it does not state."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from planners.domain import GpuSpec, ModelShape
from planners.physics.columns import Workload
from planners.physics.shape import gpu_columns
from planners.validation.case import OUTSIDE_KINDS, Case, Unreadable
from planners.validation.generic import generic_shape
from planners.validation.layout import is_rate, layout_is_stated
from planners.validation.work import workload_of
from planners.workload.rl import RESPONSE_UNKNOWN_SD

FindModel = Callable[[str], ModelShape | None]
FindGpu = Callable[[str], GpuSpec | None]

DEFAULT_YEAR = 2025.0
OUTSIDE_METRICS = ("reward_share", "fraction", "usd_per_instance")
PLACEHOLDER_MODEL = "7B"
PER_GPU_METRICS = ("tokens_per_second_per_gpu", "mfu", "gpu_hours", "usd", "solutions_per_hour_per_gpu")
"""Metrics that depend little on how many GPUs share the work."""

MISSING_LOG_SD = {
    "response length": RESPONSE_UNKNOWN_SD,
    "batch": 1.0,
    "steps": 1.0,
    "tokens": 1.6,
    "number of GPUs": 1.2,
    "number of GPUs of a rate": 0.3,
    "GPU": 0.28,
    "model shape": 0.25,
    "layout": 0.2,
    "isolation": 1.3,
    "seconds per tool call": 0.6,
    "set-up, stragglers and retries": 0.35,
}
"""Log standard deviation that an input's absence adds.  Judgement, checked on the partial calibration cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A case that the physics can predict."""

    case: Case
    workload: Workload
    missing: tuple[str, ...]
    """Keys of MISSING_LOG_SD."""
    note: str | None

    @property
    def missing_variance(self) -> float:
        """Variance of ln(prediction) that the missing inputs add."""
        return sum(MISSING_LOG_SD[name] ** 2 for name in self.missing)


def prepare(case: Case, find_model: FindModel, find_gpu: FindGpu) -> Prepared | Unreadable:
    """The workload of a case; Unreadable with the reason when its model or GPU cannot be known."""
    outside = case.kind in OUTSIDE_KINDS or case.published.metric in OUTSIDE_METRICS
    name = case.model or (PLACEHOLDER_MODEL if outside else None)
    if name is None:
        return _refuse(case, "model: not stated")
    shape = find_model(name)
    note = None
    if shape is None:
        shape = generic_shape(name)
        if shape is None and outside:
            shape = generic_shape(PLACEHOLDER_MODEL)
        if shape is None:
            return _refuse(case, f"model: {name!r} is unknown and its name has no size such as 7B")
        note = None if outside else f"model {name!r} is unknown: a usual shape of its size is used"
    year = case.year or DEFAULT_YEAR
    gpu_name = case.cluster.gpu or ("A100-80" if year <= 2024 else "H100")
    spec = find_gpu(gpu_name)
    if spec is None:
        return _refuse(case, f"cluster.gpu: {gpu_name!r} is unknown")
    gpu = gpu_columns(spec)
    if case.cluster.board_watts and spec.reference_watts:
        gpu = replace(gpu, power_ratio=case.cluster.board_watts / spec.reference_watts)
    missing = missing_inputs(case) + (("model shape",) if note else ())
    return Prepared(case=case, workload=workload_of(case, shape, gpu, year=year), missing=missing, note=note)


def missing_inputs(case: Case) -> tuple[str, ...]:
    """Decisive inputs that the case leaves open, by the metric that is asked."""
    cluster, train, rollout, published = case.cluster, case.train, case.rollout, case.published
    sync_only = published.metric == "sync_seconds"
    generates = case.is_rl or case.kind == "generate"
    supervised = case.is_supervised
    rate = is_rate(case)
    if case.is_rl:
        batch = any(told is not None for told in (rollout.requests, rollout.prompts_per_step, published.phases))
    else:
        batch = case.requests_are_counted or rollout.concurrency is not None
    unsized = case.kind not in OUTSIDE_KINDS and cluster.gpus is None and not cluster.train_gpus
    per_gpu = published.metric in PER_GPU_METRICS
    inferred = any("cluster" in gap and "gpu" in gap and "gpus" not in gap for gap in case.gaps)
    checks = {
        "response length": generates and not sync_only and rollout.response_tokens is None,
        "batch": generates and not sync_only and not batch,
        "steps": case.kind == "rl_run" and case.steps is None,
        "tokens": supervised and not rate and train.tokens is None,
        "layout": supervised and not layout_is_stated(case),
        "number of GPUs": unsized and not per_gpu,
        "number of GPUs of a rate": unsized and per_gpu,
        "GPU": case.kind not in OUTSIDE_KINDS and (cluster.gpu is None or inferred),
        "isolation": case.kind == "sandbox" and published.metric == "seconds",
        "seconds per tool call": _tools_untold(case),
        "set-up, stragglers and retries": case.kind == "evaluate",  # queue arithmetic leaves them out
    }
    return tuple(name for name, is_missing in checks.items() if is_missing)


def _tools_untold(case: Case) -> bool:
    """Does a sandbox take part whose seconds the case does not tell?"""
    if not case.is_rl or case.published.metric == "sync_seconds":
        return False
    return any(re.search(r"sandbox\.seconds|turns", gap) for gap in case.gaps)


def _refuse(case: Case, reason: str) -> Unreadable:
    return Unreadable(id=case.id, kind=case.kind, quality=case.quality, published=case.published, reason=reason)
