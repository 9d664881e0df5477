"""A run as a place sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from planners.plan.value import Plan, StagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """A run as a target sees it."""

    run_id: str
    plan: Plan
    folder: Path
    """Where logs, reports, checkpoints and results of the run lie on the machine of its supervisor."""
    tags: Mapping[str, str]
    stage: str
    """Name of the stage that it is at."""

    @property
    def planned(self) -> StagePlan:
        """That stage, as planned."""
        return next((stage for stage in self.plan.stages if stage.name == self.stage), self.plan.stages[0])

    @property
    def result(self) -> Path:
        """What its job writes when the work of the stage is complete."""
        return self.folder / result_name(self.plan, self.stage)


def result_name(plan: Plan, stage: str) -> str:
    """Name of a stage's result in the run's folder: `result.json`, with several stages `result-sft.json`."""
    return "result.json" if len(plan.stages) == 1 else f"result-{stage}.json"
