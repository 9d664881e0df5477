"""What a person should know before spending."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.plan.stage import ChosenStage
    from planners.plan.value import Band, PriceAge, StagePlan
    from planners.spec.run import RunSpec

PRICE_OLD_DAYS = 180
SPOT_OLD_DAYS = 14
"""Ages from which a plan warns: list prices change a few times a year, spot prices by the hour.  Assumption."""
MUCH_IDLE_SHARE = 0.1


def limit_warnings(spec: RunSpec, hours: Band, usd: Band, *, at_least: bool) -> list[str]:
    """Limits that hold for the middle of the band and not for its end, or for what has a price only."""
    said = []
    limits = spec.limits
    if limits.hours and hours.p90 > limits.hours:
        said.append(f"may exceed limits.hours: P90 is {hours.p90:,.0f} h against {limits.hours:g} h")
    if limits.usd and usd.p90 > limits.usd:
        said.append(f"may exceed limits.usd: P90 is ${usd.p90:,.0f} against ${limits.usd:,.0f}")
    if limits.usd and at_least:
        said.append("limits.usd was held against the priced lines alone; others have no known price")
    return said


def price_warnings(age: PriceAge) -> list[str]:
    """Prices too old to spend on."""
    said = []
    if age.age_days is not None and age.age_days > PRICE_OLD_DAYS:
        said.append(f"prices are {age.age_days} days old; `clusterctl prices refresh` reads new ones")
    if age.spot_age_days is not None and age.spot_age_days > SPOT_OLD_DAYS:
        said.append(f"the spot price is {age.spot_age_days} days old; spot prices move within hours")
    return said


def stage_warnings(plans: Sequence[StagePlan], stages: Sequence[ChosenStage]) -> list[str]:
    """Known traps of a stage."""
    said = []
    for plan, stage in zip(plans, stages, strict=True):
        wanted = stage.picks.demand.sandboxing
        if wanted is not None and wanted.serial:
            said.append(f"{plan.name}: serial reward code; the GPUs wait for one sandbox at a time")
        gpu_hours = plan.demand.get("GPU-hours", 0.0)
        if plan.idle and gpu_hours and plan.idle.gpu_hours > MUCH_IDLE_SHARE * gpu_hours:
            share = plan.idle.gpu_hours / gpu_hours
            said.append(f"{plan.name}: GPUs wait {plan.idle.gpu_hours:,.0f} GPU-hours ({share:.0%}) for the sandboxes")
    return said
