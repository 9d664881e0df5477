"""What a case says about training, rollouts and sandboxes, with the usual answer where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.physics.columns import (
    COLOCATED,
    ENGINES,
    MEGATRON,
    RECOMPUTES,
    SCHEDULES,
    TRTLLM,
    UNKNOWN,
    VLLM,
    RolloutWork,
    TrainWork,
)
from planners.physics.lengths import log_sd_from_p95
from planners.physics.rates import COMPILED_HOST_SPEED, COMPILED_TRAFFIC, attention_speed
from planners.validation.layout import is_rl, schedule_of

if TYPE_CHECKING:
    from planners.physics.columns import GpuColumns, Layout, ModelColumns
    from planners.validation.case import Case, Sandbox

PACKED_OVER_TOKENS = 4096.0
"""Above this context an RL trainer that does not say otherwise packs its sequences."""
FSDP_MICRO_BATCH_TOKENS = 8192.0
LAST_YEAR_OF_FULL_RECOMPUTE = 2022
PRETRAIN_BATCH_TOKENS = 4e6
SATURATING_WAVES = 8.0
"""A benchmark without a request count keeps the engine full: this many times its slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of one sample."""

    prompt: float
    response: float | None
    longest: float

    @property
    def guess(self) -> float:
        """Response tokens for choices (micro batch, packing width) when the mean is unknown."""
        return 0.35 * self.longest if self.response is None else self.response


def lengths_of(case: Case) -> Lengths:
    """Prompt, mean response and longest response; `max_tokens` of a total context loses the prompt."""
    rollout = case.rollout
    response = rollout.response_tokens
    prompt = rollout.prompt_tokens if rollout.prompt_tokens is not None else (150.0 if is_rl(case) else 1000.0)
    longest = rollout.max_tokens
    if longest is None:
        longest = 3 * response if response else (8192.0 if is_rl(case) else 1000.0)
    elif rollout.max_tokens_is == "total":
        longest = longest - prompt
    return Lengths(prompt=prompt, response=response or None, longest=max(longest, response or 0.0, 1.0))


def is_fp8(precision: str | None) -> bool:
    """Whether weights or arithmetic are fp8."""
    return (precision or "bf16").lower().startswith(("fp8", "mxfp8"))


def train_work(case: Case, gpu: GpuColumns, layout: Layout, *, samples: float) -> TrainWork:
    """The trainer's work of one step (RL) or one update."""
    train, rl = case.train, is_rl(case)
    lengths = lengths_of(case)
    algorithm = train.algorithm or ("grpo" if rl else "pretrain")
    post_training = rl or case.kind == "sft"
    megatron = layout.sharding == MEGATRON
    updates = train.optimizer_steps_per_rl_step or 1.0
    context = lengths.prompt + lengths.guess
    seq_len = train.seq_len or (context if rl else 4096.0)
    micro = train.micro_batch_samples
    if micro is None:
        tokens = context if rl else seq_len
        micro = 1.0 if megatron else max(1.0, float(round(FSDP_MICRO_BATCH_TOKENS / max(tokens, 1.0))))
    recompute = train.recompute or _usual_recompute(case, megatron=megatron)
    reference = train.reference if train.reference is not None else algorithm in ("grpo", "ppo")
    widest = min(4 * lengths.prompt, 1024.0) + lengths.longest
    pads = widest <= PACKED_OVER_TOKENS and (not megatron or train.micro_batch_samples is not None)
    return TrainWork(
        seq_len=seq_len,
        batch_sequences=_batch_sequences(case, layout, seq_len, samples=samples),
        updates_per_step=updates,
        epochs=train.epochs_per_step or 1.0,
        micro_batch_samples=micro,
        packed=float(train.packed if train.packed is not None else not pads),
        fills_seq_len=float(megatron and train.micro_batch_samples is None),
        fp8=float(is_fp8(train.precision)) * float(gpu.has_fp8),
        lora=float(train.lora_rank is not None or algorithm == "lora"),
        recompute=RECOMPUTES.get(recompute.lower(), 0.0),
        rl=float(rl),
        post_training=float(post_training),
        reference=float(reference),
        critic=float(bool(train.critic)),
        exports_weights=float(algorithm == "grpo_trainer"),
        flops_per_token=train.flops_per_token_stated or UNKNOWN,
        attention_speed=attention_speed(train.attention_kernel, gpu),
        elementwise_traffic=COMPILED_TRAFFIC if train.compiled else 1.0,
        host_speed=COMPILED_HOST_SPEED if train.compiled else 1.0,
        evaluation_share=train.evaluation_share or 0.0,
    )


def _usual_recompute(case: Case, *, megatron: bool) -> str:
    """FSDP post-training recomputes everything; so did pretraining before selective recomputation and fused
    attention (arXiv:2205.05198, arXiv:2205.14135) were common."""
    if case.kind == "pretrain":
        return "full" if case.year is not None and case.year <= LAST_YEAR_OF_FULL_RECOMPUTE else "none"
    return "none" if megatron else "full"


def _batch_sequences(case: Case, layout: Layout, seq_len: float, *, samples: float) -> float:
    """Sequences per update: stated; else 4M tokens in pretraining, 256 sequences in post-training."""
    if is_rl(case):
        return samples / (case.train.optimizer_steps_per_rl_step or 1.0)
    stated = case.train.global_batch_samples
    if stated is not None:
        return stated
    ranks = float(layout.dp)
    if case.kind == "pretrain":
        return max(float(round(PRETRAIN_BATCH_TOKENS / seq_len)), ranks * 2 * max(1.0, float(layout.pp)))
    return max(256.0, ranks)


def samples_of(case: Case) -> tuple[float, bool]:
    """(samples per step or per job, whether the case says so)."""
    rollout = case.rollout
    if rollout.requests is not None:
        return rollout.requests, True
    if is_rl(case):
        return (rollout.prompts_per_step or 128.0) * (rollout.samples_per_prompt or 8.0), True
    if rollout.output_tokens_total is not None:
        return rollout.output_tokens_total / max(1.0, rollout.response_tokens or 800.0), True
    return 1000.0, False


def rollout_work(
    case: Case, model: ModelColumns, gpu: GpuColumns, layout: Layout, *, samples: float, stated: bool
) -> RolloutWork:
    """Generation of one step or job."""
    rollout, rl = case.rollout, is_rl(case)
    lengths = lengths_of(case)
    engine = ENGINES.get((rollout.engine or "vllm").lower(), VLLM)
    fp8_weights = is_fp8(rollout.precision)
    schedule = schedule_of(case)
    replicas = max(1.0, float(layout.rollout_gpus) // float(layout.rollout_gpus_per_replica))
    live = _max_live(case, model, layout, engine)
    if rollout.concurrency is not None:
        live = max(1.0, rollout.concurrency / replicas)
    known_length = lengths.response is not None
    log_sd = UNKNOWN
    if rollout.response_tokens_p95 and lengths.response:
        log_sd = log_sd_from_p95(lengths.response, rollout.response_tokens_p95)
    stale = rollout.staleness_steps
    return RolloutWork(
        samples=samples if stated or case.kind != "generate" else replicas * live * SATURATING_WAVES,
        prompt_tokens=lengths.prompt,
        max_response_tokens=lengths.longest,
        response_tokens=lengths.response or UNKNOWN,
        response_log_sd=log_sd,
        fixed_length=float(not rl and known_length),
        samples_per_prompt=max(1.0, rollout.samples_per_prompt or 8.0) if rl else 1.0,
        engine=engine,
        eager=UNKNOWN if rollout.eager is None else float(rollout.eager),
        weight_bytes=1.0 if fp8_weights else 2.0,
        fp8=float(fp8_weights) * float(gpu.has_fp8),
        kv_bytes=1.0 if fp8_weights and engine == TRTLLM else 2.0,
        max_live_sequences=live,
        memory_share=0.65 if rl and schedule == "colocated" and engine != TRTLLM else 0.9,
        schedule=SCHEDULES.get(schedule, COLOCATED),
        staleness_steps=stale if stale is not None else float(schedule == "async"),
        generated_per_used=rollout.generated_per_used or 1.0,
    )


def _max_live(case: Case, model: ModelColumns, layout: Layout, engine: float) -> float:
    """The engine's usual limit of live sequences per replica."""
    gpus = float(layout.rollout_gpus_per_replica)
    if engine == TRTLLM:
        return 2048.0 * (gpus if layout.rollout_attention_dp else 1.0)
    if is_rl(case):
        return 1024.0
    return 256.0 * (gpus if float(model.experts) and case.rollout.ep else 1.0)


def sandbox_seconds(sandbox: Sandbox | None) -> float | None:
    """Seconds in the sandbox per rollout or instance; None where nothing is said."""
    if sandbox is None:
        return None
    if sandbox.seconds_per_rollout_mean is not None:
        return sandbox.seconds_per_rollout_mean
    if sandbox.seconds_per_call_mean is not None:
        return sandbox.seconds_per_call_mean * (sandbox.calls_per_rollout or 1.0)
    return None


def environment_seconds(case: Case, *, samples: float) -> float:
    """Seconds per step that sandboxes expose: all rollouts through the slots, or one where no slots are stated."""
    sandbox, seconds = case.sandbox, sandbox_seconds(case.sandbox)
    if sandbox is None or seconds is None:
        return 0.0
    rounds = max(1.0, (sandbox.rollouts or samples) / sandbox.parallel) if sandbox.parallel else 1.0
    return seconds * rounds
