"""Models that generate text: how long, under which name, self-hosted or behind an API."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from planners.physics.columns import UNKNOWN
from planners.physics.lengths import log_sd_from_p95
from planners.workload.stage_work import ApiUse, Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from planners.domain import ModelShape
    from planners.spec.lengths import Lengths
    from planners.spec.models import ModelRef, Served
    from planners.spec.options import RolloutOptions

    FindModel = Callable[[ModelRef], ModelShape]

TAIL_FACTOR = 4.0
"""Longest over mean of a generation without a stated cap.  Assumption."""


class ServedModel(NamedTuple):
    """One model and what it generates: tokens read and written per sample; `lengths`: of one part of the response."""

    role: str
    served: Served
    samples: float
    prompt_tokens: float
    response_tokens: float
    lengths: Lengths


def hosted(
    writes: Iterable[ServedModel], find_model: FindModel, options: RolloutOptions
) -> tuple[tuple[Generation, ...], tuple[ApiUse, ...]]:
    """Self-hosted models as generations, the others as API uses."""
    generations: list[Generation] = []
    apis: list[ApiUse] = []
    for role, served, samples, prompt, response, lengths in writes:
        if served.api is not None:
            apis.append(
                ApiUse(
                    role=role,
                    api=served.api,
                    input_tokens=samples * prompt,
                    cached_input_tokens=0.0,
                    output_tokens=samples * response,
                    requests=samples,
                )
            )
        elif served.model is not None:
            _, spread, longest = length_fields(lengths, response * TAIL_FACTOR)
            generations.append(
                Generation(
                    role=role,
                    model=find_model(served.model),
                    options=options,
                    samples=samples,
                    prompt_tokens=max(prompt, 1.0),
                    response_tokens=max(response, 1.0),
                    response_log_sd=spread,
                    max_response_tokens=max(longest, response, 1.0),
                )
            )
    return tuple(generations), tuple(apis)


def short(name: str) -> str:
    """A model's name without its organisation."""
    return name.rsplit("/", 1)[-1]


def shown(ref: ModelRef, model: ModelShape) -> str:
    """A model as the user wrote it: several models share a shape."""
    return short(ref) if isinstance(ref, str) and not ref.endswith(".json") else short(model.name)


def length_fields(lengths: Lengths | None, limit: float) -> tuple[float, float, float]:
    """(mean, log standard deviation, longest) of a response; NaN where not given."""
    if lengths is None:
        return UNKNOWN, UNKNOWN, limit
    spread = log_sd_from_p95(lengths.mean, lengths.p95) if lengths.p95 and lengths.mean > 0 else UNKNOWN
    longest = min(limit, lengths.max) if lengths.max else limit
    return max(lengths.mean, 1.0), spread, max(longest, lengths.mean, 1.0)
