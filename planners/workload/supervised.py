"""The work of `sft`, `pretrain`, `reward-model` and `dpo`, which train on data.  One optimizer update is the unit."""

from __future__ import annotations

from dataclasses import replace

from planners.domain import ModelShape
from planners.spec.profiles import Assumed
from planners.spec.stages_data import DpoStage, PretrainStage, RewardModelStage, SftStage
from planners.workload.served_model import FindModel, shown
from planners.workload.stage_work import StageWork, Training

PRETRAIN_BATCH_TOKENS = 4e6
"""Tokens per update where pretraining states none: Llama 2 and 3 start at 4 M (arXiv:2307.09288, 2407.21783)."""
SFT_BATCH_SEQUENCES = 256.0
"""Sequences per update where fine-tuning states none (OpenCodeInterpreter-class recipes).  Assumption."""
DPO_BATCH_PAIRS = 64.0
"""Pairs per update where DPO states none: the paper's (arXiv:2305.18290, appendix B)."""
BATCH = "global_batch_samples"
"""What the batch is called among the assumptions where none is stated."""


def supervised_work(stage: SftStage | PretrainStage, find_model: FindModel) -> StageWork:
    """One optimizer update is the unit; sequences are packed, but for the share that stays empty."""
    per_sample = stage.sample_tokens.mean if stage.sample_tokens else 0.0
    tokens = (float(stage.tokens or 0) or max(float(stage.samples or 0) * per_sample, 1.0)) * stage.epochs
    model = find_model(stage.model)
    verb = "pretraining" if stage.kind == "pretrain" else ("LoRA" if stage.train.lora_rank else "SFT")
    title = f"{verb} of {shown(stage.model, model)}, {_count(tokens)} tokens"
    work = _updates(stage, model, title, tokens / stage.packing_share, float(stage.seq_len))
    return replace(work, outcomes={"million tokens": tokens / 1e6})


def reward_model_work(stage: RewardModelStage, find_model: FindModel) -> StageWork:
    """One optimizer update is the unit; samples are padded to their own length, so tokens are samples × mean."""
    tokens = float(stage.samples) * stage.sample_tokens.mean * stage.epochs
    model, sequence = find_model(stage.model), min(float(stage.seq_len), max(stage.sample_tokens.mean, 1.0))
    title = f"outcome critic {shown(stage.model, model)} on {stage.samples:,} samples"
    work = _updates(stage, model, title, tokens, sequence)
    return replace(work, outcomes={"labelled samples": float(stage.samples)})


def dpo_work(stage: DpoStage, find_model: FindModel) -> StageWork:
    """One optimizer update is the unit; both answers of a pair are read, each padded to its own length."""
    model, sequence = find_model(stage.model), min(float(stage.seq_len), max(stage.sample_tokens.mean, 1.0))
    title = f"DPO of {shown(stage.model, model)} on {stage.samples:,} pairs"
    work = _updates(stage, model, title, 2.0 * stage.samples * sequence * stage.epochs, sequence)
    assert work.training is not None
    training = replace(work.training, reference=stage.reference)
    return replace(work, training=training, outcomes={"preference pairs": float(stage.samples)})


_BATCH_SOURCES = {"pretrain": "4 M tokens per update, Llama 2 (arXiv:2307.09288)", "dpo": "DPO (arXiv:2305.18290)"}


def _updates(
    stage: SftStage | PretrainStage | RewardModelStage | DpoStage,
    model: ModelShape,
    title: str,
    tokens: float,
    sequence: float,
) -> StageWork:
    """Optimizer updates on `tokens`, in sequences of `sequence` tokens."""
    batch = float(stage.global_batch_samples or usual_batch(stage.kind, float(stage.seq_len)))
    assumed: tuple[Assumed, ...] = ()
    if stage.global_batch_samples is None:
        source = _BATCH_SOURCES.get(stage.kind, "assumption")
        assumed = (Assumed(name=BATCH, value=f"{batch:g}", source=source),)
    batch = 2.0 * batch if stage.kind == "dpo" else batch
    batch = min(batch, max(tokens / sequence, 1.0))
    units = max(tokens / (batch * sequence), 1.0)
    every, keep = stage.checkpoint.every_steps, stage.checkpoint.keep
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=title,
        unit="optimizer step",
        units=units,
        training=Training(
            model=model,
            options=stage.train,
            rl=False,
            seq_len=sequence,
            longest_sequence=float(stage.seq_len),
            batch_sequences=batch,
            post_training=stage.kind != "pretrain",
            untuned=not stage.train.tuned,
        ),
        checkpoints_kept=float(keep or max(units // every, 1.0)),
        assumed=assumed,
    )


def usual_batch(kind: str, sequence: float) -> float:
    """Sequences per update where nothing is stated; pairs of them in DPO."""
    if kind == "dpo":
        return DPO_BATCH_PAIRS
    return max(float(round(PRETRAIN_BATCH_TOKENS / sequence)), 1.0) if kind == "pretrain" else SFT_BATCH_SEQUENCES


def _count(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"
