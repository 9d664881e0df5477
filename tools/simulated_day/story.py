"""What happens on the simulated day: three runs of three teams, and what goes wrong.  Every number here is invented,
except where a comment names its source; plans and prices are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.simulated_day.incidents import Incident
from tools.simulated_day.timeline import Outage, Scenario, Slowdown

if TYPE_CHECKING:
    from planners.plan.value import Plan

HOURS = 24.0
SEED = 64
RLCEF, SYNTHESIZE, EVALUATE = "simulated-rlcef-32b", "simulated-triples", "simulated-swebench"
SPECS: dict[str, tuple[str, tuple[str, ...]]] = {
    RLCEF: ("rlcef.yaml", ("fleet.gpus=[H100]", "fleet.nodes=8", "schedule=async", "staleness_steps=1",
                           "checkpoint.every_steps=20", "limits.usd=13500")),
    SYNTHESIZE: ("synthetic-triples.yaml", ("fleet.gpus=[H100]", "fleet.nodes=2", "items=4000", "limits.usd=1500")),
    EVALUATE: ("swebench.yaml", ("fleet.gpus=[H100]", "fleet.nodes=1", "limits.usd=400")),
}  # fmt: skip
"""Run → bundled run spec and what is changed in it."""
TEAMS = {RLCEF: "reasoning", SYNTHESIZE: "data", EVALUATE: "evaluation"}
LOST = Outage(at_hour=9.9)
SLOW = Slowdown(from_hour=16.0, to_hour=18.5, factor=4.0)
INCIDENTS = (
    Incident(kind="absent", node="gpu-8", subject="nvlink_kib_per_s", text="the driver offers no NVLink counters"),
    Incident(kind="xid", node="gpu-3", subject="5", at_hour=9.9, xid=79, text="Xid 79: GPU has fallen off the bus"),
    Incident(kind="lost", node="gpu-3", subject="5", at_hour=9.9, until_hour=10.3, text="NVML finds it no longer"),
    Incident(kind="gap", node="gpu-6", at_hour=13.0, until_hour=13.3, text="the agent was restarted"),
    Incident(kind="xid", node="gpu-2", subject="1", at_hour=14.35, xid=63, text="Xid 63: a row is to be remapped"),
    Incident(kind="holder", node="gpu-8", at_hour=22.4, until_hour=HOURS, text="python3 of ray, process 51207"),
)
"""Xid numbers as NVIDIA documents them: 79 fallen off the bus, 63 row remapping recorded."""


def scenario(plan: Plan) -> Scenario:
    """The day of the reinforcement-learning run: as planned, but answers are longer and weights take longer."""
    (stage,) = plan.stages
    spec = plan.spec["stages"][0]
    slots = sum(pool.slots or 0 for pool in plan.pools)
    return Scenario(
        hours=HOURS,
        steps=int(stage.units),
        boot_seconds=480.0,
        planned_seconds={phase.name: phase.seconds for phase in stage.phases},
        factors={"generate": 1.17, "train": 1.04, "log-prob": 0.96, "reference": 0.96, "weight sync": 1.7},
        samples_per_step=spec["prompts_per_step"] * spec["samples_per_prompt"],
        sandbox_slots=slots,
        sandbox_mean_seconds=spec["sandbox"]["seconds"]["mean"],
        checkpoint_every_steps=spec["checkpoint"]["every_steps"],
        evaluate_every_steps=spec["evaluate"]["every_steps"],
        evaluate_seconds=stage.waste_hours["evaluation"] * 3600 / (stage.units / spec["evaluate"]["every_steps"]),
        slowdowns=(SLOW,),
        outages=(LOST,),
    )
