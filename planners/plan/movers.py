"""What moves the result most: each input at its low and its high end, everything else as planned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planners.fleet.picks import outcome
from planners.physics.constants import PRIORS, Constants, side_by_side
from planners.plan.detail import one
from planners.plan.value import Mover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planners.demand.needs import Demand
    from planners.fleet.chosen import StageFleet
    from planners.fleet.picks import Picks
    from planners.physics.calibration import Calibration

GIVEN_FACTOR = 1.25
"""An input that is given by its mean alone may be off by a quarter."""
ASSUMED_FACTOR = 2.0
"""An input that is assumed may be off by two."""
MEASURED_FACTOR = 1.1
SPOT_FACTOR = 1.47
"""80 % of what spot prices do between planning and running (bands.SPOT_PRICE_LOG_SD)."""
Z80 = 1.2816

GROUPS: dict[str, tuple[str, ...]] = {
    "speed of generation": ("decode_", "iteration_", "sequence_", "prefill_", "allreduce_", "eager_", "engine_"),
    "speed of training": ("gemm_", "attention_", "elementwise_", "launch_", "fsdp_", "megatron_", "moe_", "exposed_",
                          "padding_", "software_", "zero1_", "blackwell_", "dp_", "virtual_", "optimizer_"),
    "weight sync": ("sync_", "colocated_"),
    "waste of long runs": ("waste_", "straggler_"),
}  # fmt: skip
"""Constants that people think of as one thing; moved together to their 80 % ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """A stage as the movers see it: how long it takes now, and what an hour of it and the rest of it cost."""

    picks: Picks
    fleet: StageFleet
    hours: float
    usd_per_hour: float
    fixed_usd: float


def movers(stages: Sequence[StageCost], calibration: Calibration, *, count: int) -> tuple[Mover, ...]:
    """The `count` inputs with the widest swing in dollars (hours where nothing costs)."""
    total_hours = sum(stage.hours for stage in stages)
    total_usd = sum(stage.hours * stage.usd_per_hour + stage.fixed_usd for stage in stages)
    found = []
    for stage in stages:
        for name, low, high, hours_low, hours_high, price_low, price_high in _moves(stage, calibration):
            rest_hours = total_hours - stage.hours
            rest_usd = total_usd - stage.hours * stage.usd_per_hour
            found.append(
                Mover(
                    input=name, low=low, high=high,
                    hours_low=rest_hours + hours_low, hours_high=rest_hours + hours_high,
                    usd_low=rest_usd + hours_low * stage.usd_per_hour * price_low,
                    usd_high=rest_usd + hours_high * stage.usd_per_hour * price_high,
                )
            )  # fmt: skip
    found.sort(key=lambda m: (abs(m.usd_high - m.usd_low), abs(m.hours_high - m.hours_low)), reverse=True)
    return tuple(found[:count])


def _moves(stage: StageCost, calibration: Calibration) -> list[tuple[str, str, str, float, float, float, float]]:
    """(input, low, high, hours at low, hours at high, price factor at low, at high)."""
    constants, demand = calibration.constants, stage.picks.demand
    rows = []
    for name, low, high, change in _inputs(demand):
        ends = [_hours(stage.picks, constants, change(low)), _hours(stage.picks, constants, change(high))]
        rows.append((f"{demand.stage}.{name}", _shown(low), _shown(high), ends[0], ends[1], 1.0, 1.0))
    if demand.needs_gpus:
        moved = [constants for prefixes in GROUPS.values() for constants in _moved(calibration, prefixes)]
        hours = outcome(stage.picks, side_by_side(moved)).hours[:, 0].tolist()
        for group, slow, fast in zip(GROUPS, hours[::2], hours[1::2], strict=True):
            rows.append((f"{group} ({demand.stage})", "80 % fast end", "80 % slow end", fast, slow, 1.0, 1.0))
    if stage.fleet.gpus is not None and stage.fleet.gpus.capacity_type == "spot":
        rows.append(
            (
                "spot price",
                f"÷ {SPOT_FACTOR:g}",
                f"× {SPOT_FACTOR:g}",
                stage.hours,
                stage.hours,
                1 / SPOT_FACTOR,
                SPOT_FACTOR,
            )
        )
    return rows


Change = "Callable[[float], Demand]"


def _inputs(demand: Demand) -> list[tuple[str, float, float, Callable[[float], Demand]]]:
    """Inputs of the spec with their low and high ends, and the demand at a value."""
    rows: list[tuple[str, float, float, Callable[[float], Demand]]] = []
    if demand.servings:
        main = demand.servings[0]
        known = not np.isnan(main.response_tokens)
        middle = main.response_tokens if known else main.max_response_tokens * 0.3
        factor = GIVEN_FACTOR if known else ASSUMED_FACTOR
        ends = middle / factor, min(middle * factor, main.max_response_tokens)
        rows.append(("response_tokens.mean", *ends, lambda value: _with_length(demand, value)))
        rows.append(
            ("prompt_tokens.mean", main.prompt_tokens / GIVEN_FACTOR, main.prompt_tokens * GIVEN_FACTOR,
             lambda value: _with_main(demand, prompt_tokens=value))
        )  # fmt: skip
        if main.tool_seconds > 0:
            rows.append(
                ("tool_seconds.mean", main.tool_seconds / ASSUMED_FACTOR, main.tool_seconds * ASSUMED_FACTOR,
                 lambda value: _with_main(demand, tool_seconds=value))
            )  # fmt: skip
    wanted = demand.sandboxing
    if wanted is not None:
        assumed = any(row.name.endswith("sandbox.seconds") for row in demand.assumed)
        factor = ASSUMED_FACTOR if assumed else GIVEN_FACTOR
        mean = wanted.service.mean_seconds
        rows.append(
            ("sandbox.seconds.mean", mean / factor, mean * factor, lambda value: _with_service(demand, value / mean))
        )
    return rows


def _with_main(demand: Demand, **changes: float) -> Demand:
    main = dataclasses.replace(demand.servings[0], **changes)  # type: ignore[arg-type]  # floats of Serving
    return dataclasses.replace(demand, servings=(main, *demand.servings[1:]))


def _with_length(demand: Demand, mean: float) -> Demand:
    changed = _with_main(demand, response_tokens=mean)
    learning = demand.learning
    if learning is None:
        return changed
    main = demand.servings[0]
    return dataclasses.replace(changed, learning=dataclasses.replace(learning, seq_len=main.prompt_tokens + mean))


def _with_service(demand: Demand, factor: float) -> Demand:
    wanted = demand.sandboxing
    assert wanted is not None
    old = wanted.service
    mean = old.mean_seconds * factor
    limit = max(old.limit_seconds, mean)
    service = dataclasses.replace(
        old, mean_seconds=mean, p95_seconds=min(old.p95_seconds * factor, limit), limit_seconds=limit
    )
    return dataclasses.replace(demand, sandboxing=dataclasses.replace(wanted, service=service))


def _hours(picks: Picks, constants: Constants, demand: Demand) -> float:
    return one(outcome(dataclasses.replace(picks, demand=demand), constants).hours)


def _moved(calibration: Calibration, prefixes: tuple[str, ...]) -> tuple[Constants, Constants]:
    """(slow, fast): the group's constants moved together by an 80 % step of the group's own posterior.

    The step along each constant is Z80 × its posterior sd / √(constants of the group that matter), so that a group
    of independent
    constants moves by about its own 80 % range; efficiencies fall when times rise.
    """
    sds = np.sqrt((calibration.cholesky**2).sum(axis=1))
    members = [(n, prior) for n, prior in enumerate(PRIORS) if prior.name.startswith(prefixes)]
    step = Z80 / np.sqrt(min(len(members), MATTERING))
    ends = []
    for sign in (1.0, -1.0):
        changes = {
            prior.name: getattr(calibration.constants, prior.name)
            * float(np.exp(sign * step * sds[n] * (-1.0 if prior.unit.startswith("of ") else 1.0)))
            for n, prior in members
        }
        ends.append(dataclasses.replace(calibration.constants, **changes))
    return ends[0], ends[1]


MATTERING = 4
"""Constants of a group that decide one run: those of its GPU, precision and stack; the others do not touch it."""


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
