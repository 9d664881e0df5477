"""How sure: P10/P50/P90 from the calibration, and what a stated input would narrow.

What own runs changed in a plan, and where a run of it will count.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.calibration import NARROWEST_LOG, Z80, Calibration, CalibrationCase
from planners.physics.columns import Array, Column
from planners.physics.constants import Constants
from planners.plan.plan_rows import Assumption, Band, Narrow, OwnRuns
from planners.plan.value import StagePlan
from planners.search.evaluate import Shortlist, estimate_stage
from planners.search.fleets import NodeGroup
from planners.workload.factor_lookup import WORK, find_factor, place_of, uses_gpu
from planners.workload.factors import NO_FACTORS, FactorKey, Factors
from planners.workload.stage_work import StageWork

API_LOG_SD = 0.4
"""Time of a stage that only calls APIs: speed and limits of providers vary.  Assumption."""
SANDBOX_LOG_SD = 0.35
"""Seconds per run where a profile supplied them.  Assumption: the share of the time spent in sandboxes carries it."""
VARIANCE_GRID_POINTS = 9
"""Of response lengths: how hours move with a constant needs no more."""
STEP = 0.1
"""Relative change by which the weight of a phase is found."""
NOTICEABLE = 0.01
"""Of the band's width: inputs that would narrow it by less are not named."""
SPOT_PRICE_LOG_SD = 0.3
"""Spot prices between planning and running: a3-highgpu-8g moved by 2.5 in eight months (price history)."""

USUAL_SPOT_SHARE = 0.4
"""Of the list price: what a floor price may rise to.  The dear end of Google's range, 60 % less than on demand
(cloud.google.com/compute/docs/instances/spot)."""


def spot_price_log_sd(machines: NodeGroup) -> float:
    """Spread of ln(price) of spot machines until they are bought: P90 of a floor price is a usual spot price."""
    if machines.capacity_type != "spot":
        return 0.0
    if machines.floor_share is None:
        return SPOT_PRICE_LOG_SD
    return float(np.log(USUAL_SPOT_SHARE / machines.floor_share)) / Z80


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """Half an 80 % band of a stage's hours, in ln, on each of m fleets; and the same if one input were stated."""

    log_half: Array
    log_half_before: Array
    """Without own runs."""
    log_half_with: dict[str, Array]
    """By input that is not given."""

    def take(self, rows: NDArray[np.int64]) -> Width:
        """The fleets with these numbers."""
        halves = {name: half[rows] for name, half in self.log_half_with.items()}
        return Width(log_half=self.log_half[rows], log_half_before=self.log_half_before[rows], log_half_with=halves)


def widths(shortlist: Shortlist, calibration: Calibration) -> Width:
    """Band widths of one stage on the fleets of `shortlist`."""
    work = shortlist.work
    kind = WORK[work.kind]
    if not work.needs_gpus:
        flat = np.full(len(shortlist.layouts), Z80 * API_LOG_SD)
        return _learned(shortlist, calibration, flat, {})

    plain = dataclasses.replace(shortlist, work=dataclasses.replace(work, factors=NO_FACTORS))

    def hours(constants: Constants) -> Array:
        return estimate_stage(plain, constants, grid_points=VARIANCE_GRID_POINTS).hours

    variance = calibration.log_variance(hours)
    cases = calibration_rows(shortlist)
    matches = {case: calibration.matching(case) for case in set(cases)}
    outside = np.array([matches[case].log_variance for case in cases])
    missing: dict[str, Column] = {name: sd**2 for name, sd in work.missing.items()}
    if work.sandbox_work is not None and sandbox_assumed(work):
        now = estimate_stage(plain, calibration.constants)
        share = np.clip(now.exposed / np.maximum(now.unit_seconds, 1e-9), 0.0, 1.0)
        missing[f"{work.stage}.sandbox.seconds"] = (share * SANDBOX_LOG_SD) ** 2
    variance, extra = variance + outside, sum(missing.values())
    halves = {
        name: calibration.half_width(kind, variance, np.maximum(extra - part, 0.0)) for name, part in missing.items()
    }
    return _learned(shortlist, calibration, calibration.half_width(kind, variance, extra), halves)


def sandbox_assumed(work: StageWork) -> bool:
    """Whether a profile supplied the seconds of a sandbox run."""
    return any(row.name.endswith("sandbox.seconds") for row in work.assumed)


def _learned(shortlist: Shortlist, calibration: Calibration, before: Array, halves: dict[str, Array]) -> Width:
    """The width where own runs speak for some phases.

    ln(hours) moves by w_p for a relative change of phase p.  Half a band = z80 sum(w_p sd_p) + (1 - sum(w_p)) x half
    without own runs: phases err together, the safe assumption.  Never narrower than +-15 %.
    """
    work, share, own = shortlist.work, np.zeros(len(shortlist.layouts)), np.zeros(len(shortlist.layouts))
    for phase in sorted({row.place.phase for row in work.factors.rows}):
        found = [
            find_factor(work, phase, gpu=shortlist.gpu_name(row), sharding=shortlist.sharding(row))
            for row in range(len(shortlist.layouts))
        ]
        if not any(found):
            continue
        moved = dataclasses.replace(work, factors=work.factors.moved(phase, STEP))
        ends = [
            estimate_stage(dataclasses.replace(shortlist, work=d), calibration.constants).hours for d in (work, moved)
        ]
        weight = np.where([f is not None for f in found], np.log(ends[1] / ends[0]) / STEP, 0.0)
        share, own = share + weight, own + weight * np.array([0.0 if f is None else f.log_sd for f in found])
    if not share.any():
        return Width(log_half=before, log_half_before=before, log_half_with=halves)

    def learned(half: Array) -> Array:
        return np.maximum(Z80 * own + (1.0 - share) * half, NARROWEST_LOG)

    return Width(
        log_half=learned(before),
        log_half_before=before,
        log_half_with={name: learned(half) for name, half in halves.items()},
    )


def calibration_rows(shortlist: Shortlist) -> list[CalibrationCase]:
    """What the calibration compares of this stage on each of its fleets."""
    work = shortlist.work
    model = work.training.model if work.training else work.generations[0].model
    engine = work.generations[0].options.engine if work.generations else None
    rows = []
    for row in range(len(shortlist.layouts)):
        gpu = shortlist.gpu(row)
        assert gpu is not None
        rows.append(
            CalibrationCase(
                kind=WORK[work.kind],
                params=model.params_total,
                moe=bool(model.experts),
                generation=gpu.generation,
                engine=engine,
                sharding=shortlist.sharding(row) if work.training else None,
            )
        )
    return rows


def band(p50: float, log_half: float) -> Band:
    """A log-normal 80 % band around the median."""
    return Band(p10=p50 * math.exp(-log_half), p50=p50, p90=p50 * math.exp(log_half))


def added(bands: list[Band]) -> Band:
    """Sum of bands that err together: the safe assumption, since stages share hardware, stack and calibration."""
    return Band(p10=sum(b.p10 for b in bands), p50=sum(b.p50 for b in bands), p90=sum(b.p90 for b in bands))


def narrowing(width: Width) -> tuple[Narrow, ...]:
    """Inputs that are not given and would narrow the band, with its width now and if that input were given."""
    now = float(width.log_half[0])
    return tuple(
        Narrow(input=name, width_now=float(np.exp(2.0 * now)), width_then=float(np.exp(2.0 * then[0])))
        for name, then in width.log_half_with.items()
        if then[0] < (1.0 - NOTICEABLE) * now
    )


NAMED_RUNS = 5


def own_runs(shortlist: Shortlist, phase: str, *, prior_log_sd: float) -> OwnRuns | None:
    """Where a run on the fleet `shortlist` (one) counts, and the factor that its seconds hold."""
    place = place_of(shortlist.work, phase, shortlist.sharding(0))
    if place is None:
        return None
    gpu = shortlist.gpu_name(0) if uses_gpu(place) else ""
    found = shortlist.work.factors.find(place, gpu)
    return OwnRuns(
        work=place.work,
        model_class=place.model_class,
        engine=place.engine,
        sandbox_profile=place.sandbox_profile,
        inputs=place.inputs,
        gpu=gpu,
        prior_log_sd=prior_log_sd,
        factor=1.0 if found is None else float(np.exp(found.log_factor)),
        runs=() if found is None else tuple(sorted(found.ratios)),
        other_gpus=found is not None and found.gpu != gpu,
    )


def learned_rows(plans: Sequence[StagePlan], factors: Factors) -> tuple[Assumption, ...]:
    """What the plan takes from own runs, phase by phase, with the runs by name; and what it leaves, because the spec
    states other inputs than they did."""
    rows = []
    for plan in plans:
        for phase in plan.phases:
            own = phase.own
            if own is None:
                continue
            source = f"{named(own)}; factors {factors.identity}: clusterctl calibrate --list"
            value = f"× {own.factor:.2f}" if own.runs else _left(own, phase.name, factors)
            if value:
                rows.append(Assumption(name=f"{plan.name}.{phase.name}", value=value, source=source))
    return tuple(rows)


def _left(own: OwnRuns, phase: str, factors: Factors) -> str:
    mine = FactorKey(own.work, phase, own.model_class, own.engine, own.sandbox_profile, own.inputs)
    others = sorted({row.place.inputs for row in factors.rows if row.place._replace(inputs=own.inputs) == mine})
    return f"as planned: learned with {others[0] or 'other inputs'}, not {own.inputs or 'these'}" if others else ""


def named(own: OwnRuns) -> str:
    """`your runs a, b` with at most five names."""
    if not own.runs:
        return "your runs"
    more = len(own.runs) - NAMED_RUNS
    names = ", ".join(own.runs[:NAMED_RUNS]) + (f" and {more} more" if more > 0 else "")
    return f"your {'runs' if len(own.runs) > 1 else 'run'} {names}" + (" on other GPUs" if own.other_gpus else "")
