"""Models that generate text: how long, under which name, self-hosted or behind an API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import expm1, isnan, log1p, sqrt

from planners.domain import ModelShape
from planners.physics.columns import UNKNOWN
from planners.physics.lengths import log_sd_from_p95
from planners.spec.distributions import Lengths
from planners.spec.models import ApiModel, ModelRef, Served
from planners.spec.spec_model import SpecModel
from planners.spec.stage_options import RolloutOptions
from planners.workload.response_class import natural_class
from planners.workload.stage_work import ApiUse, Generation

FindModel = Callable[[ModelRef], ModelShape]

TAIL_FACTOR = 4.0
"""Longest over mean of a generation without a stated cap.  Assumption."""
TURNS_LOG_SD = 0.5
"""Log standard deviation of the tokens of a trajectory that comes from its number of turns.  Assumption."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model and what it generates.  Tokens are per sample and turn."""

    role: str
    served: Served
    samples: float
    prompt_tokens: Lengths
    response_tokens: Lengths | None
    """None = unknown."""
    reasoning_tokens: float = 0.0
    """Written beside the response."""
    longest: float | None = None
    """Tokens after the prompt of the longest sample, all turns; None = the largest that is stated, else TAIL_FACTOR
    times the mean."""
    samples_per_prompt: float = 1.0
    turns: float = 1.0
    observation_tokens: float = 0.0
    tool_seconds: float = 0.0
    concurrency: float | None = None
    cached_share: float | None = None
    """Of the input tokens of an API, where the user states it."""
    assumed: bool = False
    """Whether tokens or turns are defaults that nobody stated."""

    @property
    def written(self) -> float:
        """Mean tokens per sample and turn."""
        return UNKNOWN if self.response_tokens is None else self.response_tokens.mean + self.reasoning_tokens


def hosted(
    models: Iterable[ServedModel], find_model: FindModel, options: RolloutOptions
) -> tuple[tuple[Generation, ...], tuple[ApiUse, ...]]:
    """Self-hosted models as generations, the others as API uses."""
    generations: list[Generation] = []
    apis: list[ApiUse] = []
    for model in models:
        if model.served.api is not None:
            apis.append(_api_use(model, model.served.api))
        elif model.served.model is not None:
            generations.append(_generation(model, model.served.model, find_model(model.served.model), options))
    return tuple(generations), tuple(apis)


def _generation(model: ServedModel, ref: ModelRef, shape: ModelShape, options: RolloutOptions) -> Generation:
    lengths, total = model.response_tokens, model.written * model.turns
    largest = lengths.max if lengths and model.turns == 1 else None
    limits = [model.longest, largest and largest + model.reasoning_tokens]
    longest = min((limit for limit in limits if limit), default=TAIL_FACTOR * total)
    return Generation(
        role=model.role,
        model=shape,
        options=options,
        samples=model.samples,
        prompt_tokens=max(model.prompt_tokens.mean, 1.0),
        natural_class=natural_class(shown(ref, shape), turns=model.turns),
        response_tokens=max(total, 1.0),  # NaN, unknown, stays NaN where it stands first, and is ignored where last
        response_log_sd=_trajectory_log_sd(lengths, model.turns),
        max_response_tokens=max(longest, 1.0, total),
        samples_per_prompt=model.samples_per_prompt,
        turns=model.turns,
        tool_seconds_per_turn=model.tool_seconds,
        tool_tokens_per_turn=model.observation_tokens,
        concurrency=model.concurrency,
    )


def _trajectory_log_sd(lengths: Lengths | None, turns: float) -> float:
    """Log standard deviation of a sample's tokens; NaN where nothing is stated.

    Of T turns: their number varies by TURNS_LOG_SD, and the mean of T independent turns of log spread s by
    ln(1 + (exp(s^2) - 1) / T), in variance.
    """
    one = response_log_sd(lengths)
    if turns == 1:
        return one
    of_turns = 0.0 if isnan(one) else log1p(expm1(one**2) / turns)
    return sqrt(TURNS_LOG_SD**2 + of_turns)


def _api_use(model: ServedModel, api: ApiModel) -> ApiUse:
    """Tokens that the provider bills.  Every turn sends the whole context again; all but its newest part is cached.

    input = Σ over turns of (prompt + (response + observation) × turns before) = T·p + (r + o)·T(T-1)/2; what was sent
    in the turn before is cached unless `cached_share` says otherwise.  What is not read from the cache is written to
    it, but for what the last turn adds: nobody reads that again.
    """
    turns, growth, prompt = model.turns, model.written + model.observation_tokens, model.prompt_tokens.mean
    tokens = turns * prompt + growth * turns * (turns - 1) / 2.0
    fresh = prompt + growth * (turns - 1)
    share = 1.0 - fresh / max(tokens, 1e-9) if model.cached_share is None and turns > 1 else model.cached_share or 0.0
    written = max(tokens * (1.0 - share) - growth, 0.0) if turns > 1 and share > 0 else 0.0
    return ApiUse(
        role=model.role,
        api=api,
        input_tokens=model.samples * tokens * (1.0 - share),
        cache_write_tokens=model.samples * written,
        assumed=model.assumed,
        cached_input_tokens=model.samples * tokens * share,
        output_tokens=model.samples * model.written * turns,
        requests=model.samples,
        turns_per_request=turns,
        tool_seconds=model.tool_seconds,
        concurrency=None if model.concurrency is None else float(model.concurrency),
    )


LENGTHS = ("prompt_tokens", "response_tokens")


def unstated(part: SpecModel, *names: str) -> bool:
    """Whether one of these fields of the spec is a default."""
    return not set(names) <= part.model_fields_set


def shown(ref: ModelRef, model: ModelShape) -> str:
    """A model as the user wrote it: several models share a shape."""
    name = ref if isinstance(ref, str) and not ref.endswith(".json") else model.name
    return name.rsplit("/", 1)[-1]


def length_fields(lengths: Lengths | None, limit: float) -> tuple[float, float, float]:
    """(mean, log standard deviation, longest) of a response; NaN where not given."""
    if lengths is None:
        return UNKNOWN, UNKNOWN, limit
    longest = min(limit, lengths.max) if lengths.max else limit
    return max(lengths.mean, 1.0), response_log_sd(lengths), max(longest, lengths.mean, 1.0)


def response_log_sd(lengths: Lengths | None) -> float:
    """Log standard deviation of a response; NaN where its 95th percentile is not given."""
    if lengths is None or not lengths.p95 or lengths.mean <= 0:
        return UNKNOWN
    return log_sd_from_p95(lengths.mean, lengths.p95)
