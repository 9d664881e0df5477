"""Predicts prepared cases in the metric that was published, through the physics that `plan` uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from planners.physics.columns import Array, Column
from planners.physics.constants import Constants
from planners.physics.overhead import run_waste
from planners.physics.step import predict, supervised_seconds
from planners.physics.workload_rows import stack
from planners.units import SECONDS_PER_HOUR
from planners.validation.case import OUTSIDE_KINDS, Case
from planners.validation.prepare import Prepared

DEFAULT_RL_STEPS = 600.0
DEFAULT_SUPERVISED_STEPS = 1000.0
SANDBOX_START_SECONDS = {"microvm": 0.2, "container": 1.0, "gvisor": 1.0, "vm": 30.0}
"""Creation to first command by isolation class: Firecracker's paper (125 ms to user code, plus the request),
published start-up tables of sandbox providers for containers, clouds' documentation for whole machines."""
ANY_SANDBOX_START_SECONDS = 0.55
USD_PER_GPU_HOUR = {0: 1.5, 1: 2.0, 2: 4.0, 3: 2.5, 4: 1.2, 5: 1.0}
"""Usual rental price by generation code, only for published dollars of runs whose price is not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantities:
    """What the physics says about all cases at once; last axis = case."""

    step: Array
    phases: dict[str, Array]
    """Seconds of the phases of a step, by their names in published cases."""
    update: Array
    output_tokens_per_second: Array
    response_tokens: Array
    per_case: Constants
    """The constants without the case axis."""


@np.errstate(all="ignore")  # supervised cases generate nothing: 0 / 0, which nobody reads
def quantities(c: Constants, prepared: Sequence[Prepared]) -> Quantities:
    """Evaluates RL steps, supervised updates and generation for every case (constants may be columns (k, 1))."""
    w = stack([p.workload for p in prepared])
    rl = predict(c, w)
    made = rl.generate
    counted = np.array([p.case.is_rl or p.case.requests_are_counted for p in prepared])
    finite = w.rollout.samples * made.mean_response_tokens / made.makespan_seconds
    endless = made.steady_samples_per_second * made.mean_response_tokens
    constants = {f.name: np.asarray(getattr(c, f.name)) for f in fields(c)}
    return Quantities(
        step=np.asarray(rl.step_seconds),
        phases={
            "generate_s": np.asarray(rl.exposed_generate_seconds + rl.controller_seconds),
            "log_prob_s": np.asarray(rl.log_prob_seconds),
            "ref_s": np.asarray(rl.reference_seconds),
            "values_s": np.asarray(rl.value_seconds),
            "critic_train_s": np.asarray(rl.critic_train_seconds),
            "train_s": np.asarray(rl.train_seconds),
            "sync_s": np.asarray(rl.sync_seconds),
        },
        update=np.asarray(supervised_seconds(c, w).seconds),
        output_tokens_per_second=np.where(counted, finite, endless),
        response_tokens=np.asarray(made.mean_response_tokens),
        per_case=Constants(**{name: v[..., 0] if v.ndim else v for name, v in constants.items()}),
    )


def predict_cases(c: Constants, prepared: Sequence[Prepared]) -> tuple[Array, list[str | None]]:
    """(predictions in the published metric, reasons); NaN with a reason where no prediction can be made.

    Shape (n,), or (k, n) for constants of shape (k, 1).
    """
    if not prepared:
        return np.zeros(0), []
    return metrics_of(quantities(c, prepared), prepared)


def metrics_of(q: Quantities, prepared: Sequence[Prepared]) -> tuple[Array, list[str | None]]:
    """The published metric of each case out of the quantities."""
    rows, reasons = [], []
    for i, p in enumerate(prepared):
        value, reason = _in_metric(q, i, p)
        rows.append(np.broadcast_to(np.asarray(value, dtype=np.float64), q.step.shape[:-1]))
        reasons.append(reason or p.note)
    return np.stack(rows, axis=-1), reasons


def _in_metric(q: Quantities, i: int, p: Prepared) -> tuple[Column, str | None]:
    case, metric = p.case, p.case.published.metric
    if metric is None:
        return math.nan, "published.metric: not stated"
    if case.kind in OUTSIDE_KINDS:
        return _outside_metric(case, metric)
    rates, hours, gpus, reason = (_rl if case.is_rl else _supervised if case.is_supervised else _generated)(q, i, p)
    if metric in rates:
        return rates[metric], None
    usd_per_hour = gpus * USD_PER_GPU_HOUR[int(float(p.workload.gpu.generation))]
    per_hour: dict[str, Column] = {
        "wall_clock_hours": 1.0,
        "gpu_hours": gpus,
        "usd": usd_per_hour,
        "usd_per_day": 24 * usd_per_hour / hours,
        "minutes": 60.0,
        "seconds": SECONDS_PER_HOUR,
        "step_seconds": SECONDS_PER_HOUR,
    }
    if metric not in per_hour:
        return math.nan, f"published.metric: {metric!r} is not predicted for kind {case.kind!r}"
    return hours * per_hour[metric], reason


_Metrics = tuple[dict[str, Column], Column, Column, str | None]
"""Rates and times of a part by metric; then of the whole run: hours, GPUs, and what was assumed for them."""


def _rl(q: Quantities, i: int, p: Prepared) -> _Metrics:
    w, step = p.workload, q.step[..., i]
    gpus, tokens = w.layout.gpus, w.rollout.samples * (w.rollout.prompt_tokens + q.response_tokens[..., i])
    rates: dict[str, Column] = {
        "step_seconds": step,
        "sync_seconds": q.phases["sync_s"][..., i],
        "train_phase_seconds": q.phases["train_s"][..., i],
        "tokens_per_second_per_gpu": tokens / step / gpus,
    }
    hours = (p.case.steps or DEFAULT_RL_STEPS) * step / SECONDS_PER_HOUR
    reason = None if p.case.steps else f"steps: not stated, {DEFAULT_RL_STEPS:.0f} assumed"
    return rates, hours * run_waste(q.per_case, hours * gpus), gpus, reason


def _supervised(q: Quantities, i: int, p: Prepared) -> _Metrics:
    w, update = p.workload, q.update[..., i]
    per_update = w.train.batch_sequences * w.train.seq_len
    rate = per_update / update / w.layout.train_gpus
    attention = 6 * w.train.seq_len * w.model.attention_width * w.model.attention_layers
    rates: dict[str, Column] = {
        "tokens_per_second_per_gpu": rate,
        "mfu": rate * (6 * w.model.params_matmul + attention) / w.gpu.bf16_flops,
        "step_seconds": update,
        "train_phase_seconds": update,
    }
    tokens, steps, reason = p.case.train.tokens, p.case.steps, None
    if tokens is None and steps is None:
        reason = f"train.tokens and steps: not stated, {DEFAULT_SUPERVISED_STEPS:.0f} steps assumed"
    elif tokens is None:
        reason = "train.tokens: not stated, full batches assumed"
    gpu_hours = (tokens or (steps or DEFAULT_SUPERVISED_STEPS) * per_update) / rate / SECONDS_PER_HOUR
    gpu_hours = gpu_hours * run_waste(q.per_case, gpu_hours)
    return rates, gpu_hours / w.layout.train_gpus, w.layout.train_gpus, reason


def _generated(q: Quantities, i: int, p: Prepared) -> _Metrics:
    gpus, response = p.workload.layout.rollout_gpus, q.response_tokens[..., i]
    per_second = q.output_tokens_per_second[..., i]
    rates: dict[str, Column] = {
        "output_tokens_per_second": per_second,
        "tokens_per_second_per_gpu": per_second / gpus,
        "solutions_per_hour_per_gpu": per_second / response * SECONDS_PER_HOUR / gpus,
    }
    total = p.case.rollout.output_tokens_total
    tokens = p.workload.rollout.samples * response if total is None else total
    return rates, tokens / per_second / SECONDS_PER_HOUR, gpus, None


def _outside_metric(case: Case, metric: str) -> tuple[Column, str | None]:
    """Harness time as rounds through the slots; dollars per instance x instances; start time by isolation."""
    sandbox, seconds = case.sandbox, case.sandbox_seconds
    per = {"minutes": 60.0, "seconds": 1.0, "wall_clock_hours": SECONDS_PER_HOUR}.get(metric)
    if per and sandbox is not None and seconds:
        count = sandbox.instances or sandbox.rollouts or 1.0
        return math.ceil(count / (sandbox.parallel or 1.0)) * seconds / per, None
    if metric == "usd" and sandbox is not None and sandbox.usd_per_instance and sandbox.instances:
        return sandbox.usd_per_instance * sandbox.instances, None
    if case.kind == "sandbox" and metric == "seconds":
        isolation = (sandbox.isolation if sandbox else None) or ""
        start = SANDBOX_START_SECONDS.get(isolation.lower())
        return start or ANY_SANDBOX_START_SECONDS, None if start else "sandbox.isolation: not stated"
    return math.nan, "needs measured seconds or dollars per instance"
