"""The small rows of a plan: bands, memory, idle time, what was rejected, assumed or has no price, unit costs, terms."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of everything in a plan: frozen, nothing extra, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Band(Value):
    """An 80% band: the 10th, 50th and 90th percentile."""

    p10: float
    p50: float
    p90: float

    @property
    def percentiles(self) -> tuple[float, float, float]:
        """All three, rising."""
        return self.p10, self.p50, self.p90


class OwnRuns(Value):
    """Where a run of this plan will count for later plans, and what earlier runs changed in this one."""

    work: str
    """rl_step, sft, pretrain or generate."""
    model_class: str
    engine: str
    """Inference engine of a rollout phase, sharding of a trainer's."""
    sandbox_profile: str
    inputs: str
    """Decisive inputs that the spec leaves open, or states where a run would correct them."""
    gpu: str
    prior_log_sd: float
    """Spread of ln(actual / planned) without own runs."""
    factor: float = 1.0
    """Part of the phase's seconds: seconds / factor is what is planned without own runs."""
    runs: tuple[str, ...] = ()
    """Runs behind the factor."""
    other_gpus: bool = False
    """The runs were on other GPUs."""


class Idle(Value):
    """GPU time lost to a slow sandbox fleet, and what would remove it."""

    gpu_hours: float
    usd: float | None
    cure_nodes: int | None = None
    """Further sandbox nodes that remove nearly all that more of them can; None when they remove nothing."""
    cure_usd: float | None = None
    cure_share: float = 1.0
    """Of the GPU-hours, that these nodes remove."""
    slots_busy_share: float | None = None
    starts_per_second: float | None = None
    reason: str = ""


class Memory(Value):
    """GiB per GPU at the worst moment, by what fills it."""

    hbm_gib: float
    """What the driver reports."""
    train_gib: dict[str, float]
    rollout_gib: dict[str, float]
    host_gib: float = 0.0
    """Per node: states that are offloaded, or moved out of the GPUs while these generate."""
    rollout_sequences: float | None = None
    """Sequences of the longest length for which a rollout replica has room, where that is less than four."""


class Calibrated(Value):
    """How well published runs or own runs cover this stage."""

    cases: int
    own_runs: int = 0
    """Runs on the same GPU, model class, engine or sandbox profile whose seconds are in the plan."""
    outside: tuple[str, ...] = ()
    """Inputs outside the calibrated range, each as a short phrase."""


class Narrow(Value):
    """An input that is not given; stating it would narrow the band."""

    input: str
    width_now: float
    """p90 / p10 of the hours."""
    width_then: float


class Rejection(Value):
    """Why offers or layouts were left out."""

    rule: str
    count: int
    reason: str
    examples: tuple[str, ...] = ()


class Sensitivity(Value):
    """An input that moves the result: what the run costs and takes at its low and its high end.

    Dollars are those of what has a price, as in `Plan.usd`; None where nothing has.
    """

    input: str
    low: str
    high: str
    usd_low: float | None
    usd_high: float | None
    hours_low: float
    hours_high: float


class Assumption(Value):
    """A number that the user did not give."""

    name: str
    value: str
    source: str


class Unpriced(Value):
    """Something without a price; the total is then "at least"."""

    name: str
    why: str


class UnitCost(Value):
    """Dollars per outcome."""

    name: str
    usd: float | None
    """Of what has a price; None where nothing has."""
    at_least: bool = False
    """True when a line that it depends on has no price."""
    formula: str


class Term(Value):
    """A number and its arithmetic: value = formula(inputs)."""

    id: str
    label: str
    value: float | str | None
    unit: str
    formula: str = ""
    source: str = ""
    inputs: tuple[str, ...] = ()
    """Ids of further terms."""
