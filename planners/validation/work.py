"""A published case as the work of a stage: built as from a run spec, so that every default is the spec's.

What stands here beside that is what a case can say and a spec can't, and guesses about somebody else's run: how large
a batch so many GPUs need, that a benchmark without a request count keeps its engine full, that its answers have the
length that it states, and that "asynchronous" means one step behind.
"""

from __future__ import annotations

from dataclasses import replace

from planners.domain import ModelShape
from planners.physics.codes import MEGATRON
from planners.physics.columns import UNKNOWN, GpuColumns, Workload
from planners.physics.workload_rows import take_rows
from planners.spec.distributions import Durations, Lengths
from planners.spec.models import Served
from planners.spec.stage_options import Engine, RolloutOptions, TrainOptions
from planners.spec.stages_data import DpoStage, PretrainStage, SftStage, SynthesizeStage
from planners.spec.stages_rl import RlcefStage
from planners.validation.case import Case
from planners.validation.environment import environment_seconds, sandbox_spec, tool_seconds, turns_of, unchecked
from planners.validation.layout import context_of, is_rate, layout_is_stated
from planners.workload.layouts import TimingContext
from planners.workload.rl import rlcef_work
from planners.workload.sandbox_work import TOOL_SECONDS
from planners.workload.served_model import TAIL_FACTOR, ServedModel, hosted, response_log_sd
from planners.workload.stage_work import StageWork, Training
from planners.workload.supervised import dpo_work, supervised_work
from planners.workload.work_columns import generation_workload, training_workload

ENDLESS_REQUESTS = 1e9
"""Of a benchmark that states none: its engine is full all the time, and its rate is what is published."""
WHOLE_RUN_TOKENS = 1e18
"""Of a training run that states none: only an update is predicted."""
ENGINES: dict[str, Engine] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "trtllm": "trtllm",
    "tensorrt-llm": "trtllm",
    "hf": "hf",
    "transformers": "hf",
}


def workload_of(case: Case, model: ModelShape, gpu: GpuColumns, *, year: float) -> Workload:
    """What the physics reads of a case: one row of scalars."""
    work = stage_work_of(case, model)
    at = context_of(case, work, model, gpu, year=year)
    if work.training is None:
        workload = generation_workload(work, work.generations[0], at)
    else:
        workload = training_workload(replace(work, training=_at_this_size(case, work.training, at)), at)
    return replace(take_rows(workload, 0), environment_seconds=environment_seconds(case, work, at))


def stage_work_of(case: Case, model: ModelShape) -> StageWork:
    """The work of one RL step, one optimizer update or one job."""
    work = _rl(case, model) if case.is_rl else _supervised(case, model) if case.is_supervised else _job(case, model)
    return work if work.training is None else replace(work, training=_with_facts(case, work.training))


def _rl(case: Case, model: ModelShape) -> StageWork:
    rollout, train = case.rollout, case.train
    stage = unchecked(
        RlcefStage,
        kind="rlcef",
        model=case.model or model.name,
        framework=case.framework,
        algorithm=train.algorithm,
        steps=case.steps or 1.0,
        prompts_per_step=rollout.prompts_per_step,
        samples_per_prompt=rollout.samples_per_prompt,
        prompt_tokens=_lengths(rollout.prompt_tokens),
        response_tokens=_lengths(rollout.response_tokens, rollout.response_tokens_p95),
        turns=turns_of(case),
        tool_seconds=tool_seconds(case),
        epochs_per_step=train.epochs_per_step,
        optimizer_steps_per_step=train.optimizer_steps_per_rl_step,
        critic=train.critic,
        reference=train.reference,
        old_log_prob=train.old_log_prob,
        sync_method=rollout.sync_method,
        oversampling=rollout.generated_per_used,
        schedule=case.schedule,
        staleness_steps=rollout.staleness_steps,
        rollout=_rollout_options(case),
        train=_train_options(case),
        sandbox=sandbox_spec(case),
    )
    cap, mean = float(stage.max_response_tokens), rollout.response_tokens or 0.0
    usual = TAIL_FACTOR * mean if mean > cap else cap
    changes = {"max_response_tokens": _longest_response(case, stage.prompt_tokens.mean) or usual}
    if rollout.requests is not None:
        changes["prompts_per_step"] = rollout.requests / stage.samples_per_prompt
    work = rlcef_work(stage.model_copy(update=changes), lambda _: model)
    return replace(work, generations=(replace(work.generations[0], concurrency=rollout.concurrency),))


def _job(case: Case, model: ModelShape) -> StageWork:
    """Generation alone.  A benchmark that states only the mean response has answers of that length."""
    rollout = case.rollout
    prompt = _lengths(rollout.prompt_tokens) or SynthesizeStage.model_fields["prompt_tokens"].default
    usual: Lengths = SynthesizeStage.model_fields["response_tokens"].default
    response = _lengths(rollout.response_tokens, rollout.response_tokens_p95)
    longest, total = _longest_response(case, prompt.mean), (response or usual).mean
    if longest is None and response is not None and response.p95 is None:
        longest = total
    samples = rollout.requests
    if samples is None and rollout.output_tokens_total is not None:
        samples = rollout.output_tokens_total / max(total, 1.0)
    served = ServedModel(
        "generate",
        unchecked(Served, model=case.model or model.name),
        samples or ENDLESS_REQUESTS,
        prompt,
        None if response is None else response.model_copy(update={"mean": response.mean / turns_of(case)}),
        longest=longest or TAIL_FACTOR * total,
        samples_per_prompt=max(rollout.samples_per_prompt or 1.0, 1.0),
        turns=turns_of(case),
        tool_seconds=(tool_seconds(case) or Durations(mean=TOOL_SECONDS)).mean,
        concurrency=rollout.concurrency,
    )
    (generation,), _ = hosted([served], lambda _: model, _rollout_options(case))
    if response is not None and response.p95 is not None:
        generation = replace(generation, response_log_sd=response_log_sd(response))  # of all turns together
    return StageWork(stage=case.id, kind="synthesize", title=case.id, unit="job", units=1.0, generations=(generation,))


def _supervised(case: Case, model: ModelShape) -> StageWork:
    train = case.train
    batch, tokens = train.global_batch_samples, train.tokens or WHOLE_RUN_TOKENS
    fields = {
        "kind": case.kind,
        "model": case.model or model.name,
        "seq_len": train.seq_len,
        "train": _train_options(case),
    }
    if train.algorithm != "dpo":
        kind: type[PretrainStage | SftStage] = PretrainStage if case.kind == "pretrain" else SftStage
        stage = unchecked(kind, **fields, tokens=tokens, global_batch_samples=batch)
        return supervised_work(stage, lambda _: model)
    length = train.seq_len or DpoStage.model_fields["seq_len"].default
    pairs = unchecked(
        DpoStage,
        **fields | {"kind": "dpo"},
        samples=tokens / length / 2,
        sample_tokens=_lengths(length),
        global_batch_samples=batch and batch / 2,
        reference=train.reference,
    )
    return dpo_work(pairs, lambda _: model)


def _lengths(mean: float | None, p95: float | None = None) -> Lengths | None:
    return None if mean is None else Lengths.model_construct(mean=mean, p95=p95)


def _longest_response(case: Case, prompt_tokens: float) -> float | None:
    """Tokens of the longest response; `max_tokens` of a total context loses the prompt."""
    rollout = case.rollout
    if rollout.max_tokens is None:
        return None
    return max(rollout.max_tokens - prompt_tokens * (rollout.max_tokens_is == "total"), 1.0)


def _rollout_options(case: Case) -> RolloutOptions:
    rollout = case.rollout
    return unchecked(
        RolloutOptions,
        engine=ENGINES.get((rollout.engine or "vllm").lower(), "vllm"),
        precision=rollout.arithmetic if rollout.precision else None,
        tp=rollout.tp,
        pp=rollout.pp,
        eager=rollout.eager,
        attention_dp=rollout.attention_dp,
        accepted_tokens=rollout.accepted_tokens,
        drafted_tokens=rollout.drafted_tokens,
    )


def _train_options(case: Case) -> TrainOptions:
    train = case.train
    return unchecked(
        TrainOptions,
        precision=train.arithmetic,
        micro_batch_samples=train.micro_batch_samples,
        packing=train.packed,
        attention=train.attention_kernel,
        compile=train.compiled,
        optimizer_offload=train.optimizer_offload,
        tuned=layout_is_stated(case) or is_rate(case) if train.tuned is None else train.tuned,
        lora_rank=1 if train.lora_rank is not None or train.algorithm == "lora" else None,
    )


def _with_facts(case: Case, training: Training) -> Training:
    """What a publisher states and a spec can't."""
    train = case.train
    return replace(
        training,
        flops_per_token=train.flops_per_token_stated or UNKNOWN,
        evaluation_share=train.evaluation_share or 0.0,
        exports_weights=train.algorithm == "grpo_trainer",
        virtual_stages=train.virtual_stages or UNKNOWN,
    )


def _at_this_size(case: Case, training: Training, at: TimingContext) -> Training:
    """Megatron packs to the sequence length that is stated; a batch that isn't has at least one sequence a rank, two a
    pipeline stage in pretraining."""
    train = case.train
    if training.rl:
        packs = train.seq_len is not None and float(at.layouts.sharding[0]) == MEGATRON
        return replace(training, seq_len=train.seq_len) if packs else training  # type: ignore[arg-type]  # not None
    ranks, stages = float(at.layouts.dp[0]), float(at.layouts.pp[0])
    least = ranks * 2 * max(1.0, stages) if case.kind == "pretrain" else ranks
    stated = train.global_batch_samples is not None
    return training if stated else replace(training, batch_sequences=max(training.batch_sequences, least))
