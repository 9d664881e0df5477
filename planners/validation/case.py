"""A published figure as a case: the fields that the estimator reads, tolerant of nulls and of keys it does not know.

The format is described in tools/fit/cases/README.md.  Every input may be null; a value of the wrong type is an
answer with a reason, never a crash.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from planners.spec.options import Precision

KINDS = ("rl_step", "rl_run", "pretrain", "sft", "generate", "evaluate", "sandbox")


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


class Sandbox(Section):
    """Work outside the model."""

    calls_per_rollout: Amount | None = None
    seconds_per_call_mean: Amount | None = None
    seconds_per_rollout_mean: Amount | None = None
    setup_seconds: Amount | None = None
    parallel: Count | None = None
    rollouts: Count | None = None
    instances: Count | None = None
    usd_per_instance: Amount | None = None
    isolation: str | None = None


class Published(Section):
    """The figure itself."""

    metric: str | None = None
    value: Amount | None = None
    unit: str | None = None
    phases: dict[str, float | None] | None = None


class Case(Section):
    """One published figure."""

    id: str
    kind: str
    quality: str | None = None
    family: str | None = None
    year: Year | None = None
    model: str | None = None
    cluster: Cluster = Cluster()
    train: Train = Train()
    rollout: Rollout = Rollout()
    sandbox: Sandbox | None = None
    steps: Count | None = None
    published: Published = Published()
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
        """The schedule of an RL step; colocated where nothing is said."""
        return self.rollout.schedule or "colocated"


class Unreadable(Section):
    """A case that cannot be read, and why."""

    id: str
    kind: str
    quality: str | None = None
    reason: str


def read_case(raw: object, position: int) -> Case | Unreadable:
    """The case at `position` (from 0) of a file, or what is wrong with it."""
    name = f"case {position + 1}"
    if not isinstance(raw, dict):
        return Unreadable(id=name, kind="unknown", reason=f"a mapping is needed, not {type(raw).__name__}")
    fields: dict[str, Any] = {str(key): value for key, value in raw.items()}
    identity = fields.get("id")
    name = str(identity) if isinstance(identity, str | int | float) else name
    kind, quality = fields.get("kind"), fields.get("quality")
    shown = kind if isinstance(kind, str) else "unknown"
    quality = quality if isinstance(quality, str) else None
    for section in ("cluster", "train", "rollout", "published"):
        if fields.get(section, 0) is None:
            del fields[section]
    fields["gaps"] = tuple(str(gap) for gap in gaps) if isinstance(gaps := fields.get("gaps"), list) else ()
    try:
        case = Case.model_validate(fields | {"id": name, "kind": shown})
    except ValidationError as error:
        return Unreadable(id=name, kind=shown, quality=quality, reason=_first_reason(error))
    if case.kind not in KINDS:
        reason = f"kind {shown!r} is not one of {', '.join(KINDS)}"
        return Unreadable(id=name, kind=shown, quality=quality, reason=reason)
    return case


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
