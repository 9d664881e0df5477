"""A published figure as a case: the fields that the estimator reads, tolerant of nulls and of keys it does not know.

The format is described in tools/fit/cases/README.md.  Every input may be null; a value of the wrong type is an
answer with a reason, never a crash.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from planners.physics.codes import SCHEDULES
from planners.spec.stage_options import Precision
from planners.spec.stages_rl import Framework, OldLogProb, SyncMethod

OUTSIDE_KINDS = ("evaluate", "sandbox")
"""Kinds whose seconds come from the sandbox, not from a model."""
KINDS = ("rl_step", "rl_run", "pretrain", "sft", "generate", *OUTSIDE_KINDS)


def _not_boolean(value: object) -> object:
    """`true` is not the number 1."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


Amount = Annotated[float, BeforeValidator(_not_boolean), Field(ge=0, le=1e18, allow_inf_nan=False)]
Count = Annotated[float, BeforeValidator(_not_boolean), Field(gt=0, le=1e18, allow_inf_nan=False)]
Year = Annotated[float, BeforeValidator(_not_boolean), Field(ge=2015, le=2100)]


class Section(BaseModel):
    """Part of a case.  Unknown keys are ignored: files of later versions must still be readable."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Computing(Section):
    precision: str | None = None

    @property
    def arithmetic(self) -> Precision:
        """fp8 for weights or arithmetic in any fp8 format, else bf16."""
        return "fp8" if (self.precision or "").lower().startswith(("fp8", "mxfp8")) else "bf16"


class Cluster(Section):
    """GPUs of the run."""

    gpu: str | None = None
    gpus: Count | None = None
    gpus_per_node: Count | None = None
    rollout_gpus: Count | None = None
    train_gpus: Count | None = None
    board_watts: Amount | None = None


class Train(_Computing):
    """The trainer."""

    algorithm: str | None = None
    critic: bool | None = None
    reference: bool | None = None
    tp: Count | None = None
    pp: Count | None = None
    cp: Count | None = None
    ep: Count | None = None
    dp: Count | None = None
    sharding: str | None = None
    micro_batch_samples: Count | None = None
    lora_rank: Count | None = None
    optimizer_offload: bool | None = None
    seq_len: Count | None = None
    global_batch_samples: Count | None = None
    optimizer_steps_per_rl_step: Count | None = None
    epochs_per_step: Count | None = None
    tokens: Count | None = None
    recompute: str | None = None
    flops_per_token_stated: Amount | None = None
    attention_kernel: str | None = None
    compiled: bool | None = None
    packed: bool | None = None
    virtual_stages: Count | None = None
    evaluation_share: Amount | None = None
    old_log_prob: OldLogProb | None = None
    tuned: bool | None = None


class Rollout(_Computing):
    """Generation.  Tokens are means per sample."""

    engine: str | None = None
    tp: Count | None = None
    pp: Count | None = None
    ep: Count | None = None
    prompts_per_step: Count | None = None
    samples_per_prompt: Count | None = None
    prompt_tokens: Amount | None = None
    response_tokens: Amount | None = None
    response_tokens_p95: Amount | None = None
    max_tokens: Amount | None = None
    max_tokens_is: str | None = None
    turns: Amount | None = None
    schedule: str | None = None
    staleness_steps: Amount | None = None
    concurrency: Count | None = None
    requests: Count | None = None
    output_tokens_total: Amount | None = None
    eager: bool | None = None
    generated_per_used: Amount | None = None
    attention_dp: bool | None = None
    accepted_tokens: Count | None = None
    drafted_tokens: Amount | None = None
    sync_method: SyncMethod | None = None


class Sandbox(Section):
    """Work outside the model."""

    calls_per_rollout: Amount | None = None
    seconds_per_call_mean: Amount | None = None
    seconds_per_rollout_mean: Amount | None = None
    parallel: Count | None = None
    rollouts: Count | None = None
    instances: Count | None = None
    usd_per_instance: Amount | None = None
    isolation: str | None = None
    timeout_seconds: Amount | None = None
    create_per_second: Count | None = None


class Published(Section):
    """The figure itself."""

    metric: str | None = None
    value: Amount | None = None
    unit: str | None = None
    phases: dict[str, float | None] | None = None


class CaseEntry(Section):
    """What every answer to an entry of a cases file repeats."""

    id: str
    kind: str
    quality: str | None = None
    published: Published = Published()


class Case(CaseEntry):
    """One published figure."""

    family: str | None = None
    year: Year | None = None
    framework: Framework | None = None
    model: str | None = None
    cluster: Cluster = Cluster()
    train: Train = Train()
    rollout: Rollout = Rollout()
    sandbox: Sandbox | None = None
    steps: Count | None = None
    gaps: tuple[str, ...] = ()

    @property
    def is_rl(self) -> bool:
        """Does the case run whole RL steps?"""
        return self.kind in ("rl_step", "rl_run")

    @property
    def is_supervised(self) -> bool:
        """Does the case train without generating?"""
        return self.kind in ("pretrain", "sft")

    @property
    def schedule(self) -> str:
        """The schedule of an RL step; colocated where nothing is said that is known."""
        named = (self.rollout.schedule or "colocated").lower()
        return named if named in SCHEDULES else "colocated"

    @property
    def requests_are_counted(self) -> bool:
        """Does the case say how much is generated?"""
        return self.rollout.requests is not None or self.rollout.output_tokens_total is not None

    @property
    def sandbox_seconds(self) -> float | None:
        """Seconds in the sandbox per rollout or instance; None where nothing is said."""
        sandbox = self.sandbox or Sandbox()
        if sandbox.seconds_per_rollout_mean is not None or sandbox.seconds_per_call_mean is None:
            return sandbox.seconds_per_rollout_mean
        return sandbox.seconds_per_call_mean * (sandbox.calls_per_rollout or 1.0)


class Unreadable(CaseEntry):
    """A case that cannot be read or predicted, and why."""

    reason: str


def read_case(raw: object, position: int) -> Case | Unreadable:
    """The case at `position` (from 0) of a file, or what is wrong with it."""
    if not isinstance(raw, dict):
        reason = f"a mapping is needed, not {type(raw).__name__}"
        return Unreadable(id=f"case {position + 1}", kind="unknown", reason=reason)
    fields: dict[str, Any] = {str(key): value for key, value in raw.items() if value is not None}
    identity, kind, quality, gaps = (fields.get(name) for name in ("id", "kind", "quality", "gaps"))
    entry = {
        "id": str(identity) if isinstance(identity, str | int | float) else f"case {position + 1}",
        "kind": kind if isinstance(kind, str) else "unknown",
        "quality": quality if isinstance(quality, str) else None,
    }
    named_gaps = [str(gap) for gap in gaps] if isinstance(gaps, list) else ()
    try:
        case = Case.model_validate(fields | entry | {"gaps": named_gaps})
    except ValidationError as error:
        return Unreadable(**entry, reason=_first_reason(error))
    if case.kind not in KINDS:
        return Unreadable(**entry, reason=f"kind {case.kind!r} is not one of {', '.join(KINDS)}")
    return case


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
