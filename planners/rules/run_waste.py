"""Rules on machines that are paid and do little.  Thresholds are choices of this project."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field

from planners.rules.rule import Rule, RuleSetting, RunFacts, RunRule, Violation
from planners.rules.run_money import dollars
from planners.spec.spec_model import Share, Weight


class IdleSetting(RuleSetting):
    """`gpus-wait-for-sandboxes`."""

    share: Share = Field(0.1, description="Share of a stage's GPU-hours.")


class SandboxPoolSetting(RuleSetting):
    """`oversized-sandbox-pool`."""

    busy_share: Share = Field(
        0.25, description="Busy share of the sandboxes while there is work, below which it fires."
    )


class CheaperFleetSetting(RuleSetting):
    """`oversized-fleet`."""

    usd_percent: Weight = Field(25, description="Percent of the dollars that another fleet saves.")
    hours_percent: Weight = Field(10, description="Percent that it may take longer.")


def _idle(facts: RunFacts, setting: IdleSetting) -> Iterator[Violation]:
    held = {
        stage.name: sum(p.gpu_hours for p in facts.after.pools if p.stage == stage.name) for stage in facts.after.stages
    }
    for stage in facts.after.stages:
        if stage.idle is None or not held[stage.name]:
            continue
        share = stage.idle.gpu_hours / held[stage.name]
        if share > setting.share:
            usd = "" if stage.idle.usd is None else f", {dollars(stage.idle.usd)}"
            reason = f": {stage.idle.reason}" if stage.idle.reason else ""
            yield Violation(
                message=f"GPUs of stage {stage.name} wait for sandboxes for {share:.0%} of their hours "
                f"({stage.idle.gpu_hours:,.0f} GPU-hours{usd}){reason}",
                key=stage.name,
            )


def _sandbox_pool(facts: RunFacts, setting: SandboxPoolSetting) -> Iterator[Violation]:
    for stage in facts.after.stages:
        busy = stage.idle.slots_busy_share if stage.idle is not None else None
        nodes = sum(p.nodes for p in facts.after.pools if p.stage == stage.name and p.role == "sandbox")
        if busy is None or nodes < 2 or busy >= setting.busy_share:
            continue
        enough = max(1, math.ceil(nodes * busy))
        yield Violation(
            message=f"{busy:.0%} of the sandboxes of stage {stage.name} are busy while there is work: about {enough} "
            f"of its {nodes} sandbox nodes would do",
            key=stage.name,
        )


def _cheaper(facts: RunFacts, setting: CheaperFleetSetting) -> Iterator[Violation]:
    plan = facts.after
    for other in plan.alternatives:
        if other.number == plan.frontier_chosen or other.at_least or plan.at_least or plan.usd.p50 <= 0:
            continue
        saved = 100 * (1 - other.usd.p50 / plan.usd.p50)
        longer = 100 * (other.hours.p50 / max(plan.hours.p50, 1e-9) - 1)
        if saved > setting.usd_percent and longer <= setting.hours_percent:
            yield Violation(
                message=f"{other.fleet} ({other.cloud} {other.region}) would cost {saved:.0f}% less, "
                f"{dollars(other.usd.p50)} instead of {dollars(plan.usd.p50)}, and take {max(longer, 0):.0f}% longer",
                key="fleet",
            )
            return


RUN_WASTE: tuple[RunRule, ...] = (
    RunRule(
        rule=Rule(
            id="gpus-wait-for-sandboxes",
            group="waste",
            summary="GPUs wait for sandboxes for more than `share` of their hours.",
            why="A GPU-hour costs many times what the sandboxes that it waits for would.",
            setting=IdleSetting,
        ),
        problems=_idle,
    ),
    RunRule(
        rule=Rule(
            id="oversized-sandbox-pool",
            group="waste",
            summary="Fewer than `busy_share` of a pool's sandboxes are busy while there is work.",
            why="Fewer nodes would do the same.",
            setting=SandboxPoolSetting,
        ),
        problems=_sandbox_pool,
    ),
    RunRule(
        rule=Rule(
            id="oversized-fleet",
            group="waste",
            summary="Another fleet does the run in about the same time for much less.",
            why="The objective, or a field of the spec, forces a fleet that is larger than the work needs.",
            setting=CheaperFleetSetting,
        ),
        problems=_cheaper,
    ),
)
