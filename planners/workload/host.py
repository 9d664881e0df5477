"""The work of the quickstart: the CPUs of this machine generate and train, its sandboxes judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planners.physics.columns import COLOCATED
from planners.spec.profiles import sandbox_need
from planners.workload.sandboxes import assumed_rows, sandbox_work
from planners.workload.stage_work import HostWork, Pauses, StageWork

if TYPE_CHECKING:
    from planners.spec.stages_rl import RlcefStage

QUICKSTART = "clusterctl/quickstart"
QUICKSTART_LLAMA = "clusterctl/quickstart-llama"
"""The same loop by TRL's trainer on a tiny Llama."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpeed:
    """How fast one CPU core is at a policy's work, and how long it takes to begin."""

    generate_seconds_per_sample: float
    train_seconds_per_sample: float
    start_seconds: float


HOST_SPEEDS = {
    QUICKSTART: HostSpeed(generate_seconds_per_sample=7.0e-5, train_seconds_per_sample=2.7e-4, start_seconds=1.0),
    QUICKSTART_LLAMA: HostSpeed(
        generate_seconds_per_sample=1.9e-3, train_seconds_per_sample=1.9e-3, start_seconds=33.0
    ),
}
"""By model.  A core makes samples one after the other, so its seconds grow with their number."""
MEASURED = "measured on 2 vCPUs, tools/benchmarks/results/quickstart.md"


def quickstart_work(stage: RlcefStage) -> StageWork:
    """One RL step is the unit.  Its seconds are proportional to the samples; the sandboxes are the larger part."""
    speed = HOST_SPEEDS[str(stage.model)]
    samples = float(stage.prompts_per_step * stage.samples_per_prompt)
    need = sandbox_need(stage.sandbox, default_profile="judge")
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"GRPO on a policy for this machine, {stage.steps:,} steps",
        unit="step",
        units=float(stage.steps),
        sandbox_work=replace(sandbox_work(need, samples=samples), overlap_share=0.0),  # judged when all are written
        host=HostWork(
            generate_seconds=samples * speed.generate_seconds_per_sample,
            train_seconds=samples * speed.train_seconds_per_sample,
            start_seconds=speed.start_seconds,
            source=MEASURED,
        ),
        schedules=(COLOCATED,),
        pauses=Pauses(),
        assumed=assumed_rows(stage.name, need.assumed),
        outcomes={"rewarded samples": samples * stage.steps},
    )
