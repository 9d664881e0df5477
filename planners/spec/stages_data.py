"""Stages that make data or train on it: `synthesize`, `sft`, `pretrain`, `reward-model`, `dpo`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planners.spec.distributions import Lengths, TokenCount
from planners.spec.job_spec import JOB, JobSpec
from planners.spec.models import ModelRef, Served, check_one_of
from planners.spec.spec_model import Count, Slug, SomeShare, SpecModel, TokenLimit, TokenTotal
from planners.spec.stage_options import Checkpointing, RolloutOptions, SandboxSpec, TrainOptions

FilterName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Student(Served):
    """The model that tries each problem, to measure its difficulty."""

    attempts: Count = Field(4, description="Attempts per problem.")
    response_tokens: TokenCount | None = Field(None, description="Tokens per attempt; default: the teacher's.")


class SynthesizeStage(SpecModel):
    """A teacher writes items (problem, solution, tests), a student tries, a sandbox verifies, filters keep a share."""

    kind: Literal["synthesize"] = Field(description="Synthetic problems with solutions and tests.")
    name: Slug = Field("synthesize", description="Name of the stage, unique in the run.")
    items: Count | None = Field(None, description="Accepted items wanted (give this or candidates).")
    candidates: Count | None = Field(None, description="Items written before filtering (or items).")
    teacher: Served = Field(description="Model that writes the items.")
    student: Student | None = Field(None, description="Model that tries them.")
    prompt_tokens: TokenCount = Field(Lengths(mean=1500), description="Tokens that the teacher reads per item.")
    response_tokens: TokenCount = Field(Lengths(mean=1500), description="Tokens of an item: problem, solution, tests.")
    reasoning_tokens: TokenCount | None = Field(None, description="Tokens of the reasoning trace written besides.")
    yields: Annotated[dict[FilterName, SomeShare], Field(max_length=32)] = Field(
        {}, description="Share that each filter keeps, in order, e.g. {compiles: 0.8, tests_pass: 0.6}."
    )
    rollout: RolloutOptions = Field(default_factory=RolloutOptions, description="How self-hosted models generate.")
    sandbox: SandboxSpec | None = Field(None, description="Where items are verified; default: profile judge.")
    job: JobSpec | None = Field(None, description=JOB)

    @model_validator(mode="after")
    def _one(self) -> Self:
        check_one_of(self, "items", "candidates")
        return self

    @property
    def kept_share(self) -> float:
        """Share of the candidates that all filters keep: the product of the yields."""
        kept = 1.0
        for share in self.yields.values():
            kept *= share
        return kept


class _TrainingStage(SpecModel):
    """What supervised stages share."""

    model: ModelRef
    epochs: Annotated[float, Field(strict=True, gt=0, le=1000)] = Field(1.0, description="Passes over the data.")
    train: TrainOptions = Field(default_factory=TrainOptions, description="How the model trains.")
    checkpoint: Checkpointing = Field(
        default_factory=lambda: Checkpointing(every_steps=500), description="Checkpoints."
    )
    job: JobSpec | None = Field(None, description=JOB)


class _TokensOrSamples(_TrainingStage):
    tokens: TokenTotal | None = Field(None, description="Tokens of one epoch (give this or samples).")
    samples: Count | None = Field(None, description="Samples of one epoch (or tokens).")
    sample_tokens: TokenCount | None = Field(None, description="Tokens per sample, with samples.")
    seq_len: TokenLimit = Field(4096, description="Sequence length.")
    global_batch_samples: Count | None = Field(None, description="Sequences per optimizer update.")
    packing_share: SomeShare = Field(1.0, description="Share of a sequence that holds real tokens.")

    @model_validator(mode="after")
    def _sized(self) -> Self:
        check_one_of(self, "tokens", "samples")
        if self.samples is not None and self.sample_tokens is None:
            raise ValueError("samples also needs sample_tokens")
        return self


class SftStage(_TokensOrSamples):
    """Supervised fine-tuning, full or LoRA."""

    kind: Literal["sft"] = Field(description="Supervised fine-tuning.")
    name: Slug = Field("sft", description="Name of the stage, unique in the run.")


class PretrainStage(_TokensOrSamples):
    """Pretraining, from scratch or continued."""

    kind: Literal["pretrain"] = Field(description="Pretraining, from scratch or continued.")
    name: Slug = Field("pretrain", description="Name of the stage, unique in the run.")


class RewardModelStage(_TrainingStage):
    """A critic learns to predict the outcome of running the code."""

    kind: Literal["reward-model"] = Field(description="Train a critic that predicts execution outcomes.")
    name: Slug = Field("reward-model", description="Name of the stage, unique in the run.")
    samples: Count = Field(description="Labelled samples (program and outcome).")
    sample_tokens: TokenCount = Field(Lengths(mean=2000), description="Tokens per sample.")
    seq_len: TokenLimit = Field(4096, description="Sequence length.")
    global_batch_samples: Count | None = Field(None, description="Sequences per optimizer update.")


class DpoStage(_TrainingStage):
    """Direct preference optimization on pairs of a chosen and a rejected answer."""

    kind: Literal["dpo"] = Field(description="Direct preference optimization (DPO) on pairs of answers.")
    name: Slug = Field("dpo", description="Name of the stage, unique in the run.")
    samples: Count = Field(description="Pairs of a chosen and a rejected answer.")
    sample_tokens: TokenCount = Field(Lengths(mean=1000), description="Tokens of a prompt with one of its answers.")
    seq_len: TokenLimit = Field(2048, description="Longest prompt with an answer.")
    global_batch_samples: Count | None = Field(None, description="Pairs per optimizer update.")
    reference: bool = Field(True, description="A frozen reference model scores each pair; false: ORPO, SimPO.")
