"""What moves the result most: each input at its low and its high end, everything else as planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from planners.physics.calibration import Z80, Calibration
from planners.physics.columns import one
from planners.physics.constants import PRIORS, Constants
from planners.plan.cost_lines import ASSUMED_FACTOR, GIVEN_FACTOR
from planners.plan.options import ChosenStage
from planners.plan.plan_rows import Sensitivity
from planners.plan.uncertainty import SPOT_PRICE_LOG_SD, sandbox_assumed
from planners.search.evaluate import Shortlist, estimate_stage
from planners.workload.stage_work import StageWork

SPOT_FACTOR = round(float(np.exp(Z80 * SPOT_PRICE_LOG_SD)), 2)
"""80% of what spot prices do between planning and running."""
MATTERING = 4
"""Constants of a group that decide one run: those of its GPU, precision and stack; the others do not touch it."""
NOTHING = 1e-4
"""Share of the dollars and hours below which an input moves nothing."""

GROUPS: dict[str, tuple[str, ...]] = {
    "speed of generation": ("decode_", "iteration_", "sequence_", "prefill_", "allreduce_", "eager_", "engine_"),
    "speed of training": ("gemm_", "attention_", "elementwise_", "launch_", "fsdp_", "megatron_", "moe_", "exposed_",
                          "padding_", "software_", "unfused_", "zero1_", "blackwell_", "dp_", "virtual_", "optimizer_"),
    "weight sync": ("sync_", "colocated_"),
    "overhead of long runs": ("waste_", "straggler_"),
}  # fmt: skip
"""Constants that people think of as one thing; moved together to their 80% ends."""


class _Move(NamedTuple):
    """One input at its two ends: hours of the stage, and dollars besides those that follow the hours."""

    input: str
    low: str
    high: str
    hours: tuple[float, float]
    more_usd: tuple[float, float] = (0.0, 0.0)


def sensitivity(stages: Sequence[ChosenStage], calibration: Calibration, *, count: int) -> tuple[Sensitivity, ...]:
    """The `count` inputs with the widest swing, if they move anything: in dollars, else in hours.

    Hours come first where a price is unknown: what the dollars do then is not known either.
    """
    total_hours = sum(stage.hours for stage in stages)
    whole_usd = sum(stage.known_usd for stage in stages)
    at_least = any(stage.at_least for stage in stages)
    found: list[tuple[float, float, Sensitivity]] = []
    for stage in stages:
        rest_hours, rest_usd = total_hours - stage.hours, whole_usd - stage.usd(stage.hours)
        for move in _moves(stage, calibration):
            (hours_low, hours_high), (more_low, more_high) = move.hours, move.more_usd
            usd_low, usd_high = stage.usd(hours_low, more=more_low), stage.usd(hours_high, more=more_high)
            row = Sensitivity(
                input=move.input,
                low=move.low,
                high=move.high,
                hours_low=rest_hours + hours_low,
                hours_high=rest_hours + hours_high,
                usd_low=rest_usd + usd_low if whole_usd or not at_least else None,
                usd_high=rest_usd + usd_high if whole_usd or not at_least else None,
            )
            found.append((abs(usd_high - usd_low), abs(hours_high - hours_low), row))
    moving = [
        (usd, hours, row) for usd, hours, row in found if max(usd / (whole_usd or 1.0), hours / total_hours) > NOTHING
    ]
    moving.sort(key=lambda each: (each[1], each[0]) if at_least else each[:2], reverse=True)
    return tuple(row for *_, row in moving[:count])


def _moves(stage: ChosenStage, calibration: Calibration) -> list[_Move]:
    constants, shortlist, work = calibration.constants, stage.shortlist, stage.work
    rows = []
    for name, low, high, change in _inputs(shortlist, constants):
        ends = _hours(shortlist, constants, change(low)), _hours(shortlist, constants, change(high))
        rows.append(_Move(f"{work.stage}.{name}", _shown(low), _shown(high), ends))
    if work.needs_gpus:
        narrowed = float(stage.width.log_half[0] / stage.width.log_half_before[0])  # by own runs
        swings = estimate_stage(shortlist, _moved(calibration)).hours.reshape(-1, 2) / stage.hours
        for group, (fast, slow) in zip(GROUPS, (stage.hours * swings**narrowed).tolist(), strict=True):
            rows.append(_Move(f"{group} ({work.stage})", "80% fast end", "80% slow end", (fast, slow)))
    if work.apis:
        most = max(line.factor_80 for line in stage.lines)
        factors = 1.0 / most, most
        low, high = (_hours(shortlist, constants, _with_tokens(work, factor)) for factor in factors)
        each = [(line.usd or 0.0, line.factor_80) for line in stage.lines]
        less, more = sum(usd / factor - usd for usd, factor in each), sum(usd * factor - usd for usd, factor in each)
        name = f"{work.stage}.API tokens"
        rows.append(_Move(name, f"÷ {most:g}", f"× {most:g}", (low, high), (less, more)))
    if stage.fleet.gpus is not None and stage.fleet.gpus.capacity_type == "spot":
        spot = stage.hours * (stage.fleet.gpus.all_usd_per_hour or 0.0)
        ends = spot / SPOT_FACTOR - spot, spot * SPOT_FACTOR - spot
        name = f"spot price ({work.stage})"
        rows.append(_Move(name, f"÷ {SPOT_FACTOR:g}", f"× {SPOT_FACTOR:g}", (stage.hours, stage.hours), ends))
    return rows


def _inputs(shortlist: Shortlist, constants: Constants) -> list[tuple[str, float, float, Callable[[float], StageWork]]]:
    """Inputs of the spec with their low and high ends, and the work at a value."""
    work = shortlist.work
    rows: list[tuple[str, float, float, Callable[[float], StageWork]]] = []
    if work.generations:
        main = work.generations[0]
        prompt, tool = main.prompt_tokens, main.tool_seconds_per_turn
        middle = one(estimate_stage(shortlist, constants).timing.generations[0][1].mean_response_tokens)
        factor = ASSUMED_FACTOR if np.isnan(main.response_tokens) else GIVEN_FACTOR
        ends = middle / factor, min(middle * factor, main.max_response_tokens)
        rows.append(("response_tokens.mean", *ends, lambda value: _with_length(work, value)))
        ends = prompt / GIVEN_FACTOR, prompt * GIVEN_FACTOR
        rows.append(("prompt_tokens.mean", *ends, lambda value: _with_main(work, prompt_tokens=value)))
        if tool > 0:
            ends = tool / ASSUMED_FACTOR, tool * ASSUMED_FACTOR
            rows.append(("tool_seconds.mean", *ends, lambda value: _with_main(work, tool_seconds_per_turn=value)))
    wanted = work.sandbox_work
    if wanted is not None:
        factor = ASSUMED_FACTOR if sandbox_assumed(work) else GIVEN_FACTOR
        mean = wanted.service.mean_seconds
        rows.append(
            ("sandbox.seconds.mean", mean / factor, mean * factor, lambda value: _with_service(work, value / mean))
        )
    return rows


def _with_main(work: StageWork, **changes: float) -> StageWork:
    main = dataclasses.replace(work.generations[0], **changes)  # type: ignore[arg-type]  # floats of Serving
    return dataclasses.replace(work, generations=(main, *work.generations[1:]))


def _with_tokens(work: StageWork, factor: float) -> StageWork:
    """Every API call with `factor` times the tokens."""
    kinds = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")
    apis = tuple(dataclasses.replace(use, **{kind: factor * getattr(use, kind) for kind in kinds}) for use in work.apis)
    return dataclasses.replace(work, apis=apis)


def _with_length(work: StageWork, mean: float) -> StageWork:
    changed = _with_main(work, response_tokens=mean)
    training = work.training
    if training is None:
        return changed
    main = work.generations[0]
    return dataclasses.replace(changed, training=dataclasses.replace(training, seq_len=main.prompt_tokens + mean))


def _with_service(work: StageWork, factor: float) -> StageWork:
    wanted = work.sandbox_work
    assert wanted is not None
    old = wanted.service
    mean = old.mean_seconds * factor
    limit = max(old.limit_seconds, mean)
    service = dataclasses.replace(
        old, mean_seconds=mean, p95_seconds=min(old.p95_seconds * factor, limit), limit_seconds=limit
    )
    return dataclasses.replace(work, sandbox_work=dataclasses.replace(wanted, service=service))


def _hours(shortlist: Shortlist, constants: Constants, work: StageWork) -> float:
    return one(estimate_stage(dataclasses.replace(shortlist, work=work), constants).hours)


def _moved(calibration: Calibration) -> Constants:
    """Columns of shape (2 x groups, 1): the fast and the slow end of each group, whose constants move together by an
    80% step of the group's own posterior.

    The step along each constant is Z80 × its posterior sd / √(constants of the group that matter), so that a group of
    independent constants moves by about its own 80% range; efficiencies fall when times rise.
    """
    sds = np.sqrt((calibration.cholesky**2).sum(axis=1))
    moves = np.zeros((len(PRIORS), 2 * len(GROUPS), 1))
    for number, prefixes in enumerate(GROUPS.values()):
        members = [n for n, prior in enumerate(PRIORS) if prior.name.startswith(prefixes)]
        step = Z80 / np.sqrt(min(len(members), MATTERING))
        slower = np.array([-1.0 if PRIORS[n].unit.startswith("of ") else 1.0 for n in members])
        for end, sign in ((2 * number, -1.0), (2 * number + 1, 1.0)):
            moves[members, end, 0] = sign * step * sds[members] * slower
    return calibration.moved(moves)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
