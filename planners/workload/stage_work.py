"""The work of a stage, in one form for every kind: generation, training, sandboxes, API calls.

Amounts are per unit of work: an RL step, an optimizer update, or the whole job.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from planners.domain import ModelShape
from planners.physics.codes import BASE
from planners.physics.columns import UNKNOWN, Column, known
from planners.physics.constants import Constants
from planners.physics.lengths import natural_tokens, usual_response_tokens
from planners.physics.sandbox_times import Service
from planners.spec.models import ApiModel
from planners.spec.profiles import Assumed, SandboxNeed
from planners.spec.stage_options import RolloutOptions, TrainOptions
from planners.workload.factors import NO_FACTORS, Factors

PRIOR = Constants()
"""For choices before the physics: no published run moves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One model generating.  Tokens are means per sample, all turns together."""

    role: str
    """generate, teacher, student, judge …: the name of the phase."""
    model: ModelShape
    options: RolloutOptions
    samples: float
    prompt_tokens: float
    response_tokens: float
    """NaN = unknown: then what `natural_class` writes."""
    natural_class: float = BASE
    """Kind of model by how long it writes."""
    response_log_sd: float = UNKNOWN
    max_response_tokens: float
    samples_per_prompt: float = 1.0
    turns: float = 1.0
    tool_seconds_per_turn: float = 0.0
    tool_tokens_per_turn: float = 0.0
    generated_per_used: float = 1.0
    concurrency: float | None = None
    """Samples in flight over all replicas, where the user limits them."""
    policy: bool = False
    """The model that the stage trains: its weights change every step."""
    is_beside_another: bool = False
    """Served on GPUs that serve another model too: spread further, whatever tp that one has."""

    def beside_another(self) -> Generation:
        """The same, served beside another model: a judge, a reward model, the outcome critic."""
        return replace(self, is_beside_another=True, options=self.options.model_copy(update={"tp": None, "pp": None}))

    @property
    def likely_response_tokens(self) -> float:
        """The mean, as stated or as the physics assumes before it is fitted: for what is decided before any timing."""
        usual = usual_response_tokens(
            natural_tokens(PRIOR, self.natural_class), self.max_response_tokens, PRIOR.response_log_sd
        )
        return float(known(self.response_tokens, usual))


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One model training."""

    model: ModelShape
    options: TrainOptions
    rl: bool
    seq_len: float
    """Mean tokens of a sequence, or what sequences are packed to."""
    longest_sequence: float
    """Tokens that a micro batch must hold at the least."""
    batch_sequences: float
    """Sequences per optimizer update (supervised); 0 in RL, where they come from the rollouts."""
    updates_per_step: float = 1.0
    """Optimizer updates per unit."""
    epochs: float = 1.0
    critic: bool = False
    reference: bool = False
    old_log_prob: bool = True
    """The trainer computes the samples' log-probs again."""
    sync_method: float = UNKNOWN
    """Code of the stated method of weight sync."""
    untuned: bool = False
    """Nobody tuned layout and kernels for this model and GPU."""
    post_training: bool = True
    flops_per_token: float = UNKNOWN
    """Where a publisher states them (unusual architectures)."""
    evaluation_share: float = 0.0
    """Extra time for evaluation passes, as a share of training time."""
    exports_weights: bool = False
    """An RL trainer measured alone still writes its weights for the engine."""
    virtual_stages: float = UNKNOWN
    """Interleaved pipeline stages per GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxWork(SandboxNeed):
    """Code that runs in sandboxes: the kind of sandbox, and how many runs a unit takes."""

    service: Service
    calls: float
    """Judging runs per unit, repeats of failed ones included."""
    trajectories: float
    """Trajectories per unit: what holds sandboxes where they are stateful."""
    overlap_share: float
    """Share of the generation time in which judging goes on beside it; 0 when the reward code runs serially."""
    seconds_stated: float | None
    """Mean seconds of a run as the spec states them, whatever `service` is moved to; None = the profile's."""

    @property
    def most_at_once(self) -> float:
        """Sandboxes that the stage itself lets run at once: one when its reward code is serial, else its own limit."""
        return 1.0 if self.serial else self.concurrency or float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUse:
    """Tokens bought from a provider, per unit."""

    role: str
    api: ApiModel
    input_tokens: float
    """Uncached, of which `cache_write_tokens` go into the provider's cache."""
    cached_input_tokens: float
    output_tokens: float
    cache_write_tokens: float = 0.0
    assumed: bool = False
    """Whether lengths or turns are defaults that nobody stated."""
    requests: float
    turns_per_request: float = 1.0
    tool_seconds: float = 0.0
    concurrency: float | None = None
    """Requests in flight, where the user limits them; the account's own limit is in `api`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWork:
    """A policy so small that the machine's own CPUs generate and train it.  Seconds per unit, measured."""

    generate_seconds: Column
    train_seconds: Column
    start_seconds: float
    """From the start of the run to its first unit."""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWork:
    """The work of a stage, ready to be timed on any fleet."""

    stage: str
    kind: str
    title: str
    unit: str
    units: float
    generations: tuple[Generation, ...] = ()
    training: Training | None = None
    sandbox_work: SandboxWork | None = None
    apis: tuple[ApiUse, ...] = ()
    host: HostWork | None = None
    critic_forward: ModelShape | None = None
    """A model that reads each sample once instead of a run (outcome critic)."""
    schedules: tuple[float, ...] = ()
    rollout_share: float | None = None
    staleness_steps: float = 0.0
    evaluation: Generation | None = None
    """For which training waits, every `evaluate_every` units."""
    evaluate_every: float = 0.0
    checkpoints_kept: float = 0.0
    assumed: tuple[Assumed, ...] = ()
    missing: dict[str, float] = field(default_factory=dict)
    """Decisive inputs that are not given -> log standard deviation that their absence adds to the time."""
    factors: Factors = NO_FACTORS
    """Factors learned from earlier runs."""
    outcomes: dict[str, float] = field(default_factory=dict)
    """Units of output of the whole stage: "rewarded samples", "accepted items", "solved tasks" -> count."""

    @property
    def outcome_critic(self) -> Generation | None:
        """The outcome critic as one more model that is served: a prefill of every sample without an answer."""
        if self.critic_forward is None:
            return None
        main = self.generations[0].beside_another()
        return replace(
            main,
            role="outcome critic",
            model=self.critic_forward,
            prompt_tokens=main.prompt_tokens + main.likely_response_tokens,
            response_tokens=1.0,
            max_response_tokens=1.0,
            samples_per_prompt=1.0,
            turns=1.0,
            tool_seconds_per_turn=0.0,
            tool_tokens_per_turn=0.0,
        )

    @property
    def needs_gpus(self) -> bool:
        """Whether the stage needs GPUs (one that only calls APIs does not)."""
        return bool(self.generations) or self.training is not None
