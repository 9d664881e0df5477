"""The quickstart's policy as a demand: this machine's CPUs generate and train, its sandboxes judge; one RL step is
the unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.demand.needs import Demand, HostWork, Pauses
from planners.demand.sandbox import assumed_rows, sandboxing
from planners.physics.workload import COLOCATED
from planners.spec.profiles import sandbox_need

if TYPE_CHECKING:
    from planners.spec.stages_rl import RlcefStage

QUICKSTART_MODEL = "clusterctl/quickstart"
GENERATE_SECONDS_PER_SAMPLE = 7.0e-5
TRAIN_SECONDS_PER_SAMPLE = 2.7e-4
MEASURED = "measured on 2 vCPUs, benchmarks/results/quickstart.md"


def quickstart_demand(stage: RlcefStage) -> Demand:
    """One RL step of the quickstart is the unit.  Its seconds are proportional to the samples; the sandboxes are the
    larger part."""
    samples = float(stage.prompts_per_step * stage.samples_per_prompt)
    need = sandbox_need(stage.sandbox, default_profile="judge")
    return Demand(
        stage=stage.name, kind=stage.kind, title=f"GRPO on a policy for this machine, {stage.steps:,} steps",
        unit="step", units=float(stage.steps), sandboxing=sandboxing(need, samples=samples),
        host=HostWork(
            generate_seconds=samples * GENERATE_SECONDS_PER_SAMPLE, train_seconds=samples * TRAIN_SECONDS_PER_SAMPLE,
            source=MEASURED,
        ),
        schedules=(COLOCATED,), pauses=Pauses(), assumed=assumed_rows(stage.name, need.assumed),
        outcomes={"rewarded samples": samples * stage.steps},
    )  # fmt: skip
