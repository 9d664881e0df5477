"""Stages that only generate: agent rollouts against repositories (`rollout`) and benchmarks (`evaluate`)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from planners.spec.distributions import Lengths, SecondsSpread, TokenCount
from planners.spec.job_spec import JOB, JobSpec
from planners.spec.models import Served
from planners.spec.spec_model import Count, Share, Slug, TokenLimit
from planners.spec.stage_options import RolloutOptions, SandboxSpec

BenchmarkName = Literal[
    "humaneval", "evalplus", "mbpp", "livecodebench", "swebench-lite", "swebench-verified", "custom"
]


class RolloutStage(Served):
    """Agents work on tasks in stateful sandboxes over many turns."""

    kind: Literal["rollout"] = Field(description="Agent rollouts against repositories.")
    name: Slug = Field("rollout", description="Name of the stage, unique in the run.")
    tasks: Count = Field(description="Tasks (issues, repositories).")
    attempts: Count = Field(1, description="Attempts per task.")
    turns: Count = Field(50, description="Mean turns per attempt; each turn ends in one tool call.")
    prompt_tokens: TokenCount = Field(Lengths(mean=5000), description="Tokens before the first turn.")
    response_tokens: TokenCount = Field(Lengths(mean=300), description="Tokens that the model writes per turn.")
    observation_tokens: TokenCount = Field(Lengths(mean=800), description="Tokens that a tool answers per turn.")
    max_context_tokens: TokenLimit = Field(131_072, description="Context limit; longer attempts end there.")
    tool_seconds: SecondsSpread | None = Field(None, description="One tool call.")
    cached_share: Share | None = Field(
        None, description="Share of the input tokens that the API bills as cached; default: by turns."
    )
    resolve_rate: Share | None = Field(None, description="Share of the attempts that solve their task.")
    concurrency: Count | None = Field(None, description="Attempts at once; default: by engine and sandboxes.")
    rollout: RolloutOptions = Field(default_factory=RolloutOptions, description="How a self-hosted model generates.")
    sandbox: SandboxSpec | None = Field(None, description="Where tools run; default: profile swe, stateful.")
    job: JobSpec | None = Field(None, description=JOB)


class EvaluateStage(Served):
    """A benchmark: pass@k and the wall time of its harness."""

    kind: Literal["evaluate"] = Field(description="Benchmark evaluation.")
    name: Slug = Field("evaluate", description="Name of the stage, unique in the run.")
    benchmark: BenchmarkName = Field("evalplus", description="Benchmark; gives defaults for the fields left out.")
    tasks: Count | None = Field(None, description="Problems; default: the benchmark's.")
    samples: Count = Field(1, description="Samples per problem (pass@k needs at least k).")
    turns: Count | None = Field(None, description="Turns per sample; default: the benchmark's.")
    prompt_tokens: TokenCount | None = Field(None, description="Tokens before the first turn.")
    response_tokens: TokenCount | None = Field(None, description="Tokens that the model writes per turn.")
    observation_tokens: TokenCount | None = Field(None, description="Tokens that the environment answers per turn.")
    tool_seconds: SecondsSpread | None = Field(None, description="One tool call between turns.")
    cached_share: Share | None = Field(None, description="Share of the input tokens that the API bills as cached.")
    resolve_rate: Share | None = Field(None, description="Expected share of the problems solved.")
    concurrency: Count | None = Field(None, description="Samples at once; default: by engine and sandboxes.")
    rollout: RolloutOptions = Field(default_factory=RolloutOptions, description="How a self-hosted model generates.")
    sandbox: SandboxSpec | None = Field(None, description="Where solutions run; default: by benchmark.")
    job: JobSpec | None = Field(None, description=JOB)

    @model_validator(mode="after")
    def _custom_is_stated(self) -> Self:
        needed = ("tasks", "prompt_tokens", "response_tokens")
        missing = [name for name in needed if getattr(self, name) is None]
        if self.benchmark == "custom" and missing:
            raise ValueError(f"benchmark custom also needs {', '.join(missing)}")
        return self
