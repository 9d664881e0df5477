"""Stage `rlcef`: reinforcement learning from code-execution feedback, with judge models and an outcome critic."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from planners.spec.distributions import Lengths, SecondsSpread, TokenCount
from planners.spec.job_spec import JOB, JobSpec
from planners.spec.models import ModelRef, Served
from planners.spec.spec_model import Count, Factor, OpenShare, Share, Slug, SomeShare, SpecModel, TokenLimit, Weight
from planners.spec.stage_options import Checkpointing, Evaluation, RolloutOptions, SandboxSpec, Schedule, TrainOptions

Algorithm = Literal["grpo", "ppo", "rloo", "reinforce++", "dapo", "gspo"]

Framework = Literal["verl", "nemo-rl", "slime", "skyrl", "prime-rl", "trl", "openrlhf"]
OldLogProb = Literal["recompute", "rollout"]
SyncMethod = Literal["broadcast", "checkpoint-engine", "sharded", "file"]

WITHOUT_REFERENCE = frozenset({"dapo", "aipo", "cispo", "gpg"})
"""Algorithms whose published form has no KL term, so no reference model."""


def needs_reference(algorithm: str) -> bool:
    """Whether an algorithm scores each sample by a frozen reference model, where nothing else is said."""
    return algorithm not in WITHOUT_REFERENCE


class Judge(Served):
    """A model that scores samples (readability, efficiency, standards, safety)."""

    name: str | None = Field(None, max_length=100, description="What it judges.")
    prompt_tokens: TokenCount = Field(Lengths(mean=2000), description="Tokens that the judge reads per sample.")
    response_tokens: TokenCount = Field(Lengths(mean=200), description="Tokens that the judge writes.")
    share: SomeShare = Field(
        1.0,
        description="Share of the samples that this judge scores; below 1 it is asked about those that pass their "
        "tests, and the others get 0 of it.",
    )
    weight: Weight = Field(
        1.0, description="Its part of the reward, where that of the tests is 1; a judge of weight 0 is not asked."
    )


class OutcomeCritic(SpecModel):
    """A model that predicts the outcome of running the code and so replaces a share of the runs."""

    model: ModelRef = Field(description="Critic model.")
    replaced_share: Share = Field(description="Share of the runs that its prediction replaces.")


class RlcefStage(SpecModel):
    """One loop: generate, run the code, reward, train, sync weights."""

    kind: Annotated[Literal["rlcef", "rl", "rlvr"], AfterValidator(lambda _: "rlcef")] = Field(
        description="Reinforcement learning from code-execution feedback; `rl` and `rlvr` are the same."
    )
    name: Slug = Field("rlcef", description="Name of the stage, unique in the run.")
    model: ModelRef
    framework: Framework | None = Field(
        None, description="RL framework: decides eager, packing, old_log_prob and sync_method where they are left out."
    )
    algorithm: Algorithm = Field("grpo", description="Algorithm; ppo trains a critic beside the policy.")
    steps: Count = Field(description="RL steps (each: generate, reward, train).")
    prompts_per_step: Count = Field(128, description="Prompts per step.")
    samples_per_prompt: Count = Field(16, description="Group size: samples per prompt.")
    prompt_tokens: TokenCount = Field(Lengths(mean=400), description="Tokens of a prompt.")
    response_tokens: TokenCount | None = Field(
        None,
        description="Tokens that the model writes per sample (over all turns); unknown = assumed, a much wider band.",
    )
    max_response_tokens: TokenLimit = Field(8192, description="Cap on the tokens that the model writes.")
    turns: Count = Field(1, description="Turns per trajectory; between two turns the environment answers.")
    tool_seconds: SecondsSpread | None = Field(None, description="One tool call between two turns.")
    observation_tokens: TokenCount | None = Field(None, description="Tokens that the environment answers per turn.")
    epochs_per_step: Count = Field(1, description="Passes over the samples of a step.")
    optimizer_steps_per_step: Count = Field(1, description="Optimizer updates per RL step (mini-batches).")
    critic: bool | None = Field(None, description="A value model trains too; default: only for ppo.")
    reference: bool | None = Field(
        None, description="A frozen reference model scores each sample; default: by algorithm."
    )
    judges: Annotated[tuple[Judge, ...], Field(max_length=16)] = Field((), description="Models that add to the reward.")
    outcome_critic: OutcomeCritic | None = Field(None, description="Predicts outcomes instead of running the code.")
    old_log_prob: OldLogProb | None = Field(
        None, description="Log-probs of the samples: recompute (by the trainer, the default) or the rollout engine's."
    )
    sync_method: SyncMethod | None = Field(
        None,
        description="How new weights reach the rollout engine: broadcast (tensor by tensor), checkpoint-engine, "
        "sharded (each GPU its part) or file; unknown = a usual speed, a wider band.",
    )
    oversampling: Factor = Field(
        1.0, description="Samples generated per sample trained on (DAPO's dynamic sampling is above 1)."
    )
    rollout: RolloutOptions = Field(default_factory=RolloutOptions, description="How the model generates.")
    train: TrainOptions = Field(default_factory=TrainOptions, description="How the model trains.")
    schedule: Schedule = Field(
        "auto", description="colocated: same GPUs in turn; disaggregated: two pools in step; async: overlapped."
    )
    staleness_steps: Annotated[int, Field(strict=True, ge=0, le=64)] | None = Field(
        None,
        description="Most steps between the policy that generated and the one that trains; default: 1 with schedule "
        "async, else 0.",
    )
    rollout_share: OpenShare | None = Field(None, description="Share of the GPUs that generate; default: searched.")
    sandbox: SandboxSpec | None = Field(None, description="Where the code runs; default: profile judge.")
    evaluate: Evaluation | None = Field(None, description="Evaluation while training.")
    checkpoint: Checkpointing = Field(default_factory=Checkpointing, description="Checkpoints.")
    job: JobSpec | None = Field(None, description=JOB)

    @property
    def trains_critic(self) -> bool:
        """Whether a value model trains beside the policy."""
        return self.algorithm == "ppo" if self.critic is None else self.critic

    @property
    def uses_reference(self) -> bool:
        """Whether a frozen reference model scores each sample."""
        return needs_reference(self.algorithm) if self.reference is None else self.reference

    @property
    def steps_behind(self) -> int:
        """How old the policy that generates may be: one step, where pools overlap and nothing else is stated."""
        return int(self.schedule == "async") if self.staleness_steps is None else self.staleness_steps

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.response_tokens and self.response_tokens.mean > self.max_response_tokens:
            raise ValueError(
                f"response_tokens (mean {self.response_tokens.mean:g}) is above "
                f"max_response_tokens ({self.max_response_tokens})"
            )
        if self.staleness_steps and self.schedule in ("colocated", "disaggregated"):
            raise ValueError(f"staleness_steps needs schedule async (or auto), not {self.schedule}")
        if self.rollout_share is not None and self.schedule == "colocated":
            raise ValueError("rollout_share has no meaning with schedule colocated: all GPUs do both")
        if self.optimizer_steps_per_step > self.prompts_per_step * self.samples_per_prompt:
            raise ValueError("optimizer_steps_per_step is above the samples of a step")
        return self
