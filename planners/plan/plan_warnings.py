"""What a person should know before spending: limits, old and unknown prices, what was rejected, known traps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from planners.physics.memory import FULL_SHARE
from planners.plan.cost_lines import EstimateLine
from planners.plan.options import ChosenStage
from planners.plan.plan_rows import Band, Rejection, Unpriced
from planners.plan.uncertainty import USUAL_SPOT_SHARE
from planners.plan.value import PRICE_OLD_DAYS, PriceAge, StagePlan
from planners.search.offers import UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE
from planners.search.own_prices import YOURS
from planners.search.rejections import Rejected
from planners.spec.run_spec import RunSpec
from planners.spec.shapes import FROM_SPEC
from planners.workload.stage_work import StageWork

SPOT_OLD_DAYS = 14
"""Age from which a plan warns: spot prices change by the hour.  Assumption."""
MUCH_IDLE_SHARE = 0.1


def rejections_of(rejected: Sequence[Rejected]) -> tuple[Rejection, ...]:
    """Rejections by rule, the most frequent first; equal rules and reasons of several stages are added up."""
    merged: dict[tuple[str, str], Rejection] = {}
    for row in rejected:
        key = (row.rule, row.reason)
        old = merged.get(key)
        count = row.count + (old.count if old else 0)
        examples = old.examples if old else row.examples
        merged[key] = Rejection(rule=row.rule, count=count, reason=row.reason, examples=examples)
    return tuple(sorted(merged.values(), key=lambda row: (-row.count, row.rule)))


def unpriced_of(lines: Sequence[EstimateLine], rejected: Sequence[Rejected]) -> tuple[Unpriced, ...]:
    """Lines without a price, and offers that were left out because nobody knows their price."""
    rows = [Unpriced(name=line.name, why=_why(line.price.source)) for line in lines if line.usd is None]
    for row in rejected:
        if row.rule in (UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE):
            rows.append(Unpriced(name=", ".join(row.examples), why=f"left out: {row.reason}"))
    return tuple(rows)


def _why(source: str) -> str:
    own = source == YOURS
    return (
        "state usd_per_hour (or usd_per_gpu_hour) of the machines under fleet.machines"
        if own
        else source or "no price known"
    )


def price_age(lines: Sequence[EstimateLine], *, book: str, today: date) -> PriceAge:
    """Age of every price that bills the run, but for those that the user states; of equal age the dearest is named."""
    priced = [line for line in lines if line.usd is not None and not line.price.stated]
    dated = sorted((at, -(line.usd or 0.0), line.name) for line in priced if (at := line.price.as_of) is not None)
    spot = [at for line in priced if line.spot and (at := line.price.as_of) is not None]
    return PriceAge(
        newest=dated[-1][0] if dated else None,
        oldest=dated[0][0] if dated else None,
        age_days=(today - dated[0][0]).days if dated else None,
        oldest_line=dated[0][-1] if dated else None,
        undated=tuple(dict.fromkeys(line.name for line in priced if line.price.as_of is None)),
        spot_age_days=(today - min(spot)).days if spot else None,
        book=book,
    )


def limit_warnings(spec: RunSpec, hours: Band, usd: Band, stages: Sequence[ChosenStage]) -> list[str]:
    """Limits that hold for the middle of the band and not for its end, or for what has a price only."""
    said = []
    limits = spec.limits
    if limits.hours and hours.p90 > limits.hours:
        said.append(f"may exceed limits.hours: P90 is {hours.p90:,.0f} h against {limits.hours:g} h")
    if limits.usd and usd.p90 > limits.usd:
        said.append(f"may exceed limits.usd: P90 is ${usd.p90:,.0f} against ${limits.usd:,.0f}")
    unpriced = "nobody knows whether the run keeps {}: {} no known price"
    lines = [line.name for stage in stages for line in stage.lines if line.usd is None]
    if limits.usd and lines:
        said.append(unpriced.format("limits.usd", _have(lines)))
    machines = [m.instance_type for stage in stages for m in stage.fleet.machines if m.usd_per_hour is None]
    if limits.usd_per_hour and machines:
        said.append(unpriced.format("limits.usd_per_hour", _have(machines)))
    return said


def floor_price_warnings(stages: Sequence[ChosenStage]) -> list[str]:
    """Spot prices so far below list that nobody should count on them."""
    floors = [m for stage in stages for m in stage.fleet.machines if m.floor_share is not None]
    return [
        f"the spot price of {m.instance_type} in {m.region} is {m.floor_share:.0%} of the list price: a floor price, "
        f"so the band reaches to {USUAL_SPOT_SHARE:.0%} of list"
        for m in dict.fromkeys(floors)
    ]


def _have(names: Sequence[str]) -> str:
    """`a has`, `a and 2 more have`."""
    distinct = list(dict.fromkeys(names))
    return f"{distinct[0]} has" if len(distinct) == 1 else f"{distinct[0]} and {len(distinct) - 1} more have"


def price_warnings(age: PriceAge, lines: Sequence[EstimateLine], today: date) -> list[str]:
    """Prices too old to spend on, with their share of the dollars."""
    said = []
    dated = [(line, line.price.as_of) for line in lines if line.usd]
    old = [line for line, as_of in dated if as_of and (today - as_of).days > PRICE_OLD_DAYS]
    if old and age.age_days is not None:
        names = {line.name for line in old}
        more = f", and {len(names) - 1} more are over {PRICE_OLD_DAYS}" if len(names) > 1 else ""
        share = sum(line.usd or 0.0 for line in old) / sum(line.usd or 0.0 for line in lines)
        part = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
        said.append(f"the price of {age.oldest_line} is {age.age_days} days old{more}: {part} of the dollars")
    if age.spot_age_days is not None and age.spot_age_days > SPOT_OLD_DAYS:
        said.append(f"the spot price is {age.spot_age_days} days old; spot prices move within hours")
    return said


def _model_warnings(work: StageWork) -> list[str]:
    """What of the models in the spec is not counted, and contexts that their positions do not reach."""
    trained = [work.training.model] if work.training else []
    models = dict.fromkeys((*trained, *(generation.model for generation in work.generations)))
    said = [f"{model.name}: {model.note}" for model in models if model.note and model.source == FROM_SPEC]
    for generation in work.generations:
        longest, reach = generation.prompt_tokens + generation.max_response_tokens, generation.model.max_context
        if reach and longest > reach:
            said.append(f"{generation.model.name} reaches {reach:,} tokens; the longest sample has {longest:,.0f}")
    return said


def stage_warnings(plans: Sequence[StagePlan], stages: Sequence[ChosenStage]) -> list[str]:
    """Known traps of a stage."""
    said = []
    for plan, stage in zip(plans, stages, strict=True):
        said += [f"{plan.name}: {warning}" for warning in _model_warnings(stage.work)]
        wanted = stage.work.sandbox_work
        if wanted is not None and wanted.serial:
            said.append(f"{plan.name}: serial reward code; the GPUs wait for one sandbox at a time")
        if plan.memory is not None and sum(plan.memory.train_gib.values()) > FULL_SHARE * plan.memory.hbm_gib:
            full = sum(plan.memory.train_gib.values()) / plan.memory.hbm_gib
            said.append(f"{plan.name}: training fills {full:.1%} of the GPUs' memory: it may run out of it")
        if plan.memory is not None and plan.memory.rollout_sequences is not None:
            few = plan.memory.rollout_sequences
            sequences = "1 sequence" if few == 1 else f"{few:g} sequences"
            said.append(f"{plan.name}: a rollout replica runs {sequences} of the longest length at a time")
        gpu_hours = plan.demand.get("GPU-hours", 0.0)
        if plan.idle and gpu_hours and plan.idle.gpu_hours > MUCH_IDLE_SHARE * gpu_hours:
            share = plan.idle.gpu_hours / gpu_hours
            said.append(f"{plan.name}: GPUs wait {plan.idle.gpu_hours:,.0f} GPU-hours ({share:.0%}) for the sandboxes")
    return said
