"""The work of the quickstart: the CPUs of this machine generate and train, its sandboxes judge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planners.physics.columns import COLOCATED
from planners.workload.sandboxes import sandbox_work
from planners.workload.stage_work import HostWork, StageWork

if TYPE_CHECKING:
    from planners.spec.stages_rl import RlcefStage

QUICKSTART = "clusterctl/quickstart"
QUICKSTART_LLAMA = "clusterctl/quickstart-llama"
"""The same loop by TRL's trainer on a tiny Llama."""


MEASURED = "measured on 2 vCPUs, tools/benchmarks/results/quickstart.md"
HOST_SPEEDS = {
    QUICKSTART: HostWork(generate_seconds=7.0e-5, train_seconds=2.7e-4, start_seconds=1.0, source=MEASURED),
    QUICKSTART_LLAMA: HostWork(generate_seconds=1.9e-3, train_seconds=1.9e-3, start_seconds=33.0, source=MEASURED),
}
"""By model, for one sample.  A core makes samples one after the other, so its seconds grow with their number."""


def quickstart_work(stage: RlcefStage) -> StageWork:
    """One RL step is the unit.  Its seconds are proportional to the samples; the sandboxes are the larger part."""
    speed = HOST_SPEEDS[str(stage.model)]
    samples = float(stage.prompts_per_step * stage.samples_per_prompt)
    sandboxes = sandbox_work(stage.sandbox, "judge", samples=samples)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"GRPO on a policy for this machine, {stage.steps:,} steps",
        unit="step",
        units=float(stage.steps),
        sandbox_work=replace(sandboxes, overlap_share=0.0),  # judged when all are written
        host=replace(
            speed, generate_seconds=samples * speed.generate_seconds, train_seconds=samples * speed.train_seconds
        ),
        schedules=(COLOCATED,),
        assumed=sandboxes.assumed,
        outcomes={"rewarded samples": samples * stage.steps},
    )
