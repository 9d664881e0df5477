"""A published case as the work of a stage on one layout, with the usual answer where the case says nothing.

These answers guess what somebody else ran; the defaults of a run spec say what will run.  From here on a case goes the
way of every stage: `planners.workload` turns its work into the columns that the physics reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from planners.domain import ModelShape
from planners.physics.columns import ENGINES, MEGATRON, TRANSFORMERS, TRTLLM, UNKNOWN, VLLM, GpuColumns, Workload
from planners.physics.workload_rows import take_rows
from planners.spec.distributions import Lengths
from planners.spec.stage_options import Engine, RolloutOptions, TrainOptions
from planners.spec.stages_rl import needs_reference
from planners.validation.case import Case
from planners.validation.layout import context_of
from planners.workload.layouts import TimingContext
from planners.workload.served_model import length_fields
from planners.workload.stage_work import Generation, StageWork, Training
from planners.workload.supervised import usual_batch
from planners.workload.work_columns import generation_workload, training_workload, usual_live_sequences

PROMPTS_PER_STEP, SAMPLES_PER_PROMPT = 128.0, 8.0
RL_PROMPT_TOKENS, PROMPT_TOKENS = 150.0, 1000.0
RL_LONGEST_TOKENS, LONGEST_TOKENS = 8192.0, 1000.0
LONGEST_OVER_MEAN = 3.0
MEAN_OVER_LONGEST = 0.35
"""Of a response whose mean is not stated, for choices of micro batch and packing width; the physics has its own."""
OUTPUT_TOKENS = 800.0
SEQ_LEN = 4096.0
SATURATING_WAVES = 8.0
"""A benchmark without a request count keeps the engine full: this many times its slots."""
Options = TypeVar("Options", RolloutOptions, TrainOptions)
ENGINE_NAMES: dict[float, Engine] = {VLLM: "vllm", TRTLLM: "trtllm", TRANSFORMERS: "hf"}


def workload_of(case: Case, model: ModelShape, gpu: GpuColumns, *, year: float) -> Workload:
    """What the physics reads of a case: one row of scalars."""
    at = context_of(case, model, gpu, year=year)
    generation = _generation(case, model, at)
    training = _training(case, model, generation, at) if case.is_rl or case.is_supervised else None
    staleness = case.rollout.staleness_steps
    work = StageWork(
        stage=case.id,
        kind=case.kind,
        title=case.id,
        unit="step",
        units=case.steps or 1.0,
        generations=(generation,),
        training=training,
        staleness_steps=float(case.schedule == "async") if staleness is None else staleness,
    )
    workload = generation_workload(work, generation, at) if training is None else training_workload(work, at)
    return replace(take_rows(workload, 0), environment_seconds=_environment_seconds(case, generation.samples))


def _generation(case: Case, model: ModelShape, at: TimingContext) -> Generation:
    """Generation of one step or job."""
    rollout, rl = case.rollout, case.is_rl
    engine = ENGINES.get((rollout.engine or "vllm").lower(), VLLM)
    replica = float(at.layouts.replica[0])
    replicas = max(1.0, float(at.layouts.rollout_gpus[0]) // replica)
    attention_dp = engine == TRTLLM and bool(model.experts)
    live = usual_live_sequences(engine, rl=rl)
    if attention_dp or (model.experts and rollout.ep and engine != TRTLLM and not rl):
        live *= replica
    if rollout.concurrency is not None:
        live = max(1.0, rollout.concurrency / replicas)
    options = {"precision": rollout.arithmetic, "tp": rollout.tp and replica, "eager": rollout.eager}
    prompt, longest = _prompt_and_longest(case)
    lengths = None
    if rollout.response_tokens:
        lengths = Lengths.model_construct(mean=rollout.response_tokens, p95=rollout.response_tokens_p95)
    mean, log_sd, longest = length_fields(lengths, longest)
    each = max(1.0, rollout.samples_per_prompt or SAMPLES_PER_PROMPT)
    return Generation(
        role="generate",
        model=model,
        options=_unchecked(RolloutOptions, engine=ENGINE_NAMES[engine], concurrency=live, **options),
        samples=_samples(case) or replicas * live * SATURATING_WAVES,
        prompt_tokens=prompt,
        response_tokens=mean,
        response_log_sd=log_sd,
        fixed_length=not rl and lengths is not None,
        max_response_tokens=longest,
        samples_per_prompt=each if rl else 1.0,
        generated_per_used=rollout.generated_per_used or 1.0,
        concurrency=rollout.concurrency,
        attention_dp=attention_dp,
    )


def _prompt_and_longest(case: Case) -> tuple[float, float]:
    """Tokens of the prompt and of the longest response; `max_tokens` of a total context loses the prompt."""
    rollout, rl = case.rollout, case.is_rl
    prompt = rollout.prompt_tokens
    if prompt is None:
        prompt = RL_PROMPT_TOKENS if rl else PROMPT_TOKENS
    if rollout.max_tokens is not None:
        return prompt, max(rollout.max_tokens - prompt * (rollout.max_tokens_is == "total"), 1.0)
    usual = RL_LONGEST_TOKENS if rl else LONGEST_TOKENS
    return prompt, LONGEST_OVER_MEAN * rollout.response_tokens if rollout.response_tokens else usual


def _samples(case: Case) -> float | None:
    """Samples per step or per job; None where a job does not say it."""
    rollout = case.rollout
    if rollout.requests is not None:
        return rollout.requests
    if case.is_rl:
        return (rollout.prompts_per_step or PROMPTS_PER_STEP) * (rollout.samples_per_prompt or SAMPLES_PER_PROMPT)
    total = rollout.output_tokens_total
    return None if total is None else total / max(1.0, rollout.response_tokens or OUTPUT_TOKENS)


def _training(case: Case, model: ModelShape, generation: Generation, at: TimingContext) -> Training:
    """The trainer's work of one step (RL) or one update."""
    train, rl = case.train, case.is_rl
    algorithm = train.algorithm or ("grpo" if rl else "pretrain")
    seq_len = train.seq_len or SEQ_LEN
    if rl and (train.seq_len is None or float(at.layouts.sharding[0]) != MEGATRON):
        known = case.rollout.response_tokens
        seq_len = generation.prompt_tokens + (known or MEAN_OVER_LONGEST * generation.max_response_tokens)
    options = {
        "precision": train.arithmetic,
        "micro_batch_samples": train.micro_batch_samples,
        "packing": train.packed,
        "attention": train.attention_kernel or "auto",
        "compile": train.compiled,
        "optimizer_offload": bool(train.optimizer_offload),
        "lora_rank": 1 if train.lora_rank is not None or algorithm == "lora" else None,
    }
    return Training(
        model=model,
        options=_unchecked(TrainOptions, **options),
        rl=rl,
        seq_len=seq_len,
        batch_sequences=0.0 if rl else train.global_batch_samples or _usual_batch(case.kind, seq_len, at),
        updates_per_step=train.optimizer_steps_per_rl_step or 1.0,
        epochs=train.epochs_per_step or 1.0,
        critic=bool(train.critic),
        reference=rl and (needs_reference(algorithm) if train.reference is None else train.reference),
        post_training=case.kind != "pretrain",
        flops_per_token=train.flops_per_token_stated or UNKNOWN,
        evaluation_share=train.evaluation_share or 0.0,
        exports_weights=algorithm == "grpo_trainer",
        virtual_stages=train.virtual_stages or UNKNOWN,
    )


def _usual_batch(kind: str, seq_len: float, at: TimingContext) -> float:
    """Sequences per update as of a stage, but at least one a rank, two a pipeline stage in pretraining."""
    ranks, stages = float(at.layouts.dp[0]), float(at.layouts.pp[0])
    least = ranks * 2 * max(1.0, stages) if kind == "pretrain" else ranks
    return max(usual_batch(kind, seq_len), least)


def _unchecked(options: type[Options], **values: Any) -> Options:
    """Options with the case's figures as they are: published degrees and limits may be fractions."""
    return options.model_construct(**values)


def _environment_seconds(case: Case, samples: float) -> float:
    """Seconds per step that sandboxes expose: all rollouts through the slots, or one where no slots are stated."""
    sandbox, seconds = case.sandbox, case.sandbox_seconds
    if sandbox is None or seconds is None:
        return 0.0
    rounds = max(1.0, (sandbox.rollouts or samples) / sandbox.parallel) if sandbox.parallel else 1.0
    return seconds * rounds
