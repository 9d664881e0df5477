"""The work of stages that make data or train on it: `synthesize`, `sft`, `pretrain`, `reward-model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.spec.profiles import Assumed, sandbox_need
from planners.workload.sandboxes import assumed_rows, sandbox_work
from planners.workload.served_model import ServedModel, hosted, shown
from planners.workload.stage_work import Pauses, StageWork, Training

if TYPE_CHECKING:
    from planners.spec.stages_data import PretrainStage, RewardModelStage, SftStage, SynthesizeStage
    from planners.workload.served_model import FindModel

PRETRAIN_BATCH_TOKENS = 4e6
"""Tokens per update where pretraining states none: Llama 2 and 3 start at 4 M (arXiv:2307.09288, 2407.21783)."""
SFT_BATCH_SEQUENCES = 256.0
"""Sequences per update where fine-tuning states none (OpenCodeInterpreter-class recipes).  Assumption."""


def synthesize_work(stage: SynthesizeStage, find_model: FindModel) -> StageWork:
    """The whole job is the unit: all candidates written, tried and verified."""
    candidates = float(stage.candidates or -(-(stage.items or 1) // max(stage.kept_share, 1e-6)))
    item_tokens = stage.response_tokens.mean + (stage.reasoning_tokens.mean if stage.reasoning_tokens else 0.0)
    prompt = stage.prompt_tokens.mean
    models = [
        ServedModel(
            role="teacher",
            served=stage.teacher,
            samples=candidates,
            prompt_tokens=prompt,
            response_tokens=item_tokens,
            lengths=stage.response_tokens,
        )
    ]
    runs = candidates
    if stage.student is not None:
        attempts = candidates * stage.student.attempts
        lengths = stage.student.response_tokens or stage.response_tokens
        models.append(
            ServedModel(
                role="student",
                served=stage.student,
                samples=attempts,
                prompt_tokens=prompt,
                response_tokens=lengths.mean,
                lengths=lengths,
            )
        )
        runs += attempts
    generations, apis = hosted(models, find_model, stage.rollout)
    need = sandbox_need(stage.sandbox, default_profile="judge")
    accepted = candidates * stage.kept_share
    rows = (
        ()
        if stage.yields
        else (Assumed(name=f"{stage.name}.yields", value="every candidate kept", source="no filter stated"),)
    )
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{accepted:,.0f} accepted items from {candidates:,.0f} candidates",
        unit="job",
        units=1.0,
        generations=generations,
        sandbox_work=sandbox_work(need, samples=runs),
        apis=apis,
        assumed=(*rows, *assumed_rows(stage.name, need.assumed)),
        outcomes={"accepted items": accepted},
    )


def supervised_work(stage: SftStage | PretrainStage, find_model: FindModel) -> StageWork:
    """One optimizer update is the unit."""
    model = find_model(stage.model)
    pretrain = stage.kind == "pretrain"
    per_sample = stage.sample_tokens.mean if stage.sample_tokens else 0.0
    tokens = float(stage.tokens or 0) or max(float(stage.samples or 0) * per_sample, 1.0)
    slots = tokens * stage.epochs / stage.packing_share
    batch, assumed = _batch(stage.global_batch_samples, stage.seq_len, stage.name, pretrain=pretrain)
    batch = min(batch, max(slots / stage.seq_len, 1.0))
    units = max(slots / (batch * stage.seq_len), 1.0)
    verb = "pretraining" if pretrain else ("LoRA" if stage.train.lora_rank else "SFT")
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{verb} of {shown(stage.model, model)}, {_count(tokens * stage.epochs)} tokens",
        unit="optimizer step",
        units=units,
        training=Training(
            model=model,
            options=stage.train,
            rl=False,
            seq_len=float(stage.seq_len),
            batch_sequences=batch,
            post_training=not pretrain,
            packed=True,
        ),
        pauses=_pauses(stage.checkpoint.every_steps, stage.checkpoint.keep, units),
        assumed=assumed,
        outcomes={"million tokens": tokens * stage.epochs / 1e6},
    )


def reward_model_work(stage: RewardModelStage, find_model: FindModel) -> StageWork:
    """One optimizer update is the unit; samples are padded to their own length, so tokens are samples × mean."""
    model = find_model(stage.model)
    tokens = float(stage.samples) * stage.sample_tokens.mean * stage.epochs
    batch, assumed = _batch(stage.global_batch_samples, stage.seq_len, stage.name, pretrain=False)
    seq = min(float(stage.seq_len), max(stage.sample_tokens.mean, 1.0))
    units = max(tokens / (batch * seq), 1.0)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"outcome critic {shown(stage.model, model)} on {stage.samples:,} samples",
        unit="optimizer step",
        units=units,
        training=Training(model=model, options=stage.train, rl=False, seq_len=seq, batch_sequences=batch),
        pauses=_pauses(stage.checkpoint.every_steps, stage.checkpoint.keep, units),
        assumed=assumed,
        outcomes={"labelled samples": float(stage.samples)},
    )


def _batch(stated: int | None, seq_len: int, stage: str, *, pretrain: bool) -> tuple[float, tuple[Assumed, ...]]:
    if stated is not None:
        return float(stated), ()
    batch = max(round(PRETRAIN_BATCH_TOKENS / seq_len), 1.0) if pretrain else SFT_BATCH_SEQUENCES
    source = "4 M tokens per update, Llama 2 (arXiv:2307.09288)" if pretrain else "assumption"
    return float(batch), (Assumed(name=f"{stage}.global_batch_samples", value=f"{batch:g}", source=source),)


def _pauses(every: int, keep: int, units: float) -> Pauses:
    return Pauses(checkpoint_every=float(every), checkpoints_kept=float(keep or max(units // every, 1.0)))


def _count(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"
