"""Runs of a plan whose true seconds are known: what a site takes over the plan, what its runs scatter, one that went
wrong.

A site is off by as much as the plan says it may be, half of it common to all phases, half each phase's own.  Runs
scatter by 10 % together and 7 % by phase (plans allow for a drift of 10-30 % a year), steps by 15 %.
"""

from __future__ import annotations

import numpy as np

from planners.learn.fit import Observation
from planners.learn.observe import observe
from planners.plan.value import Plan, StagePlan

WARM_UP, WRONG = 3.0, 5.0
"""Times the seconds of the first step; of all steps of a run that went wrong."""


class Site:
    """Where runs of a plan's only stage take something else than planned."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.rng = plan, np.random.default_rng(seed)
        self.stage: StagePlan = plan.stages[0]
        self.raw = {phase.name: phase.seconds / phase.own.factor for phase in self.stage.phases if phase.own}
        sd = max(phase.own.prior_log_sd for phase in self.stage.phases if phase.own) / np.sqrt(2)
        common = self.rng.normal(0.0, sd)
        self.off = {name: common + self.rng.normal(0.0, sd) for name in self.raw}

    def run(self, *, wrong: bool = False, steps: int = 20) -> dict[tuple[str, str], list[float]]:
        """Seconds by step of one run."""
        together = self.rng.normal(0.0, 0.10) + (np.log(WRONG) if wrong else 0.0)
        seconds = {}
        for name, raw in self.raw.items():
            middle = raw * np.exp(self.off[name] + together + self.rng.normal(0.0, 0.07))
            took = middle * np.exp(self.rng.normal(0.0, 0.15, steps))
            took[0] *= WARM_UP
            seconds[self.stage.name, name] = took.tolist()
        return seconds

    def unit_seconds(self) -> float:
        """Seconds per step of yet another run."""
        return sum(float(np.median(took)) for took in self.run(steps=401).values())

    def true_unit_seconds(self) -> float:
        """What runs here take in the middle."""
        return sum(raw * float(np.exp(self.off[name])) for name, raw in self.raw.items())

    def observations(self, runs: int, *, wrong: int | None = None, plan: Plan | None = None) -> list[Observation]:
        """What runs teach, one of them gone wrong."""
        return [
            seen
            for number in range(runs)
            for seen in observe(f"r{number}", plan or self.plan, self.run(wrong=number == wrong))[0]
        ]
