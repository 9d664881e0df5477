"""Rules on whether a run gets its machines, keeps them, and loses little when it doesn't."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated

from pydantic import Field

from planners.domain import CapacityType
from planners.plan.value import Plan, StagePlan
from planners.rules.rule import Rule, RuleSetting, RunFacts, RunRule, Violation
from planners.spec.spec_model import CountOrZero, Hours, Share, SpecModel, Word
from planners.units import HOURS_PER_DAY, SECONDS_PER_HOUR


class QuotaSetting(RuleSetting):
    """`quota`."""

    gpus: Annotated[dict[Word, CountOrZero], Field(max_length=200)] = Field(
        {}, description="GPUs that may be held at once, by GPU, cloud:GPU or cloud:region:GPU: {'aws:H100': 64}."
    )


class SpotSetting(RuleSetting):
    """`spot-without-checkpoints`."""

    spot_share: Share = Field(0.5, description="Share of the GPU-hours that are spot.")
    run_hours: Hours = Field(4, description="Shorter stages are let pass, in hours.")
    checkpoint_hours: Hours = Field(1, description="Hours between two checkpoints that are few enough.")


class CapacityBlock(SpecModel):
    """Machines that are held until a day."""

    cloud: Word = Field("aws", description="Cloud.")
    region: Word | None = Field(None, description="Region; default: every region.")
    instance_type: Word = Field(description="Instance type.")
    ends: date = Field(description="Last day on which it is held.")


class CapacityBlockSetting(RuleSetting):
    """`capacity-block-end`."""

    blocks: Annotated[tuple[CapacityBlock, ...], Field(max_length=200)] = Field(
        (), description="Blocks that are held: [{instance_type: p5.48xlarge, region: us-east-1, ends: 2026-12-24}]."
    )


def _quota(facts: RunFacts, setting: QuotaSetting) -> Iterator[Violation]:
    for name, limit in setting.gpus.items():
        wanted = _gpus_at_once(facts.after, name)
        if wanted > limit:
            yield Violation(
                message=f"the run wants {wanted:,} GPUs at once, and the quota {name} is {limit:,}", key=name
            )


def _gpus_at_once(plan: Plan, name: str) -> int:
    """Those that a quota counts, in the stage that holds most of them."""
    *place, gpu = name.lower().split(":")
    by_stage = Counter[str]()
    for pool in plan.pools:
        named = (pool.gpu or "").lower()
        of_family = named == gpu or named.startswith(f"{gpu}-")
        if of_family and place == [pool.cloud.lower(), pool.region.lower()][: len(place)]:
            by_stage[pool.stage] += pool.gpus
    return max(by_stage.values(), default=0)


def _spot(facts: RunFacts, setting: SpotSetting) -> Iterator[Violation]:
    specs = {
        stage.get("name", stage.get("kind")): (n, stage) for n, stage in enumerate(facts.after.spec.get("stages", ()))
    }
    for stage in facts.after.stages:
        number, stated = specs.get(stage.name, (0, {}))
        share = _spot_share(facts.after, stage.name)
        if "checkpoint" not in stated or share < setting.spot_share or stage.hours.p50 < setting.run_hours:
            continue
        hours = _hours_between(stage, stated["checkpoint"].get("every_steps"))
        if hours > setting.checkpoint_hours:
            lost = "never" if hours >= stage.hours.p50 else f"every {hours:,.1f} h"
            yield Violation(
                message=f"{share:.0%} of the GPU-hours of stage {stage.name} are spot, and a checkpoint is written "
                f"{lost}: an interruption loses the work since the last one",
                key=stage.name,
                field=("stages", number, "checkpoint", "every_steps"),
            )


def _spot_share(plan: Plan, stage: str) -> float:
    pools = [pool for pool in plan.pools if pool.stage == stage and pool.gpus]
    total = sum(pool.gpu_hours for pool in pools)
    spot = sum(pool.gpu_hours for pool in pools if pool.capacity_type == CapacityType.SPOT)
    return spot / total if total else 0.0


def _hours_between(stage: StagePlan, every_steps: int | None) -> float:
    """Hours between two checkpoints; at most those of the stage."""
    if every_steps is None or every_steps >= stage.units:
        return stage.hours.p50
    return every_steps * stage.seconds_per_unit.p50 / SECONDS_PER_HOUR


def _block_end(facts: RunFacts, setting: CapacityBlockSetting) -> Iterator[Violation]:
    last = facts.today + timedelta(days=math.ceil(facts.after.hours.p90 / HOURS_PER_DAY))
    for pool in facts.after.pools:
        if pool.capacity_type != CapacityType.CAPACITY_BLOCK:
            continue
        ends = [
            block.ends
            for block in setting.blocks
            if (block.cloud, block.instance_type) == (pool.cloud, pool.instance_type)
            and block.region in (None, pool.region)
        ]
        if ends and max(ends) < last:
            yield Violation(
                message=f"the block of {pool.instance_type} ends on {max(ends)}, and a run that starts today may "
                f"need it until {last}",
                key=pool.id,
            )


RUN_CAPACITY: tuple[RunRule, ...] = (
    RunRule(
        rule=Rule(
            id="quota",
            group="capacity",
            summary="A run wants more GPUs at once than the quotas in `gpus`.",
            why="It would wait for machines that the account may not have, and pay for those that it got.",
            setting=QuotaSetting,
        ),
        problems=_quota,
    ),
    RunRule(
        rule=Rule(
            id="spot-without-checkpoints",
            group="capacity",
            summary="A long stage on spot machines writes checkpoints seldom or never.",
            why="Spot machines are taken back at any time: what was done since the last checkpoint is paid twice.",
            setting=SpotSetting,
        ),
        problems=_spot,
    ),
    RunRule(
        rule=Rule(
            id="capacity-block-end",
            group="capacity",
            summary="A run may last longer than the capacity block that it lives on.",
            why="Machines of a block are taken away at its end, whatever runs on them.",
            setting=CapacityBlockSetting,
        ),
        problems=_block_end,
    ),
)
