"""One day of an asynchronous RL run: which pool does what, from when to when, and what each step took.

Trainer and rollout pools work in lockstep, one step apart.  A step ends when both are done, then weights are synced.
The sandbox is a queue: samples arrive while the rollout pool generates, and the GPUs wait for what is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_ARRIVAL_SHARE = 0.25
"""Of the seconds of `generate`: when the first sample is complete and reaches the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """From one hour to another the sandbox needs `factor` times as long for each program."""

    from_hour: float
    to_hour: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A lost GPU hangs the run at `at_hour`; it goes on from its last checkpoint when the node is back."""

    at_hour: float
    hang_seconds: float = 600.0
    """PyTorch's default NCCL timeout: until then all ranks wait for the one that is gone."""
    down_seconds: float = 720.0
    load_seconds: float = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a step takes as planned, and by how much the day differs."""

    hours: float
    steps: int
    boot_seconds: float
    planned_seconds: Mapping[str, float]
    """By phase: generate, sandbox (the wait for the last programs), log-prob, reference, train, weight sync."""
    factors: Mapping[str, float]
    """Actual over planned, by phase."""
    samples_per_step: int
    sandbox_slots: int
    sandbox_mean_seconds: float
    checkpoint_every_steps: int
    evaluate_every_steps: int
    evaluate_seconds: float
    slowdowns: tuple[Slowdown, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedStep:
    """A step as it was done; one that an outage threw away is done again under the same number."""

    step: int
    start: float
    end: float
    phases: Mapping[str, float]
    slow: float
    """By how much the sandbox was slower than usual."""
    evaluated: bool = False


@dataclass(slots=True, kw_only=True)
class Lane:
    """What one pool does: states and when each ends, in seconds of the day."""

    ends: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def add(self, state: str, end: float) -> None:
        """The pool is in `state` until `end`."""
        self.ends.append(end)
        self.states.append(state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The day: its steps in the order in which they ended, the lanes of both pools, and what was lost."""

    steps: tuple[SimulatedStep, ...]
    trainer: Lane
    rollout: Lane
    recovered: tuple[tuple[float, int, int], ...]
    """(second of the day, step of the checkpoint, last step that was lost) of each recovery."""


def simulate(scenario: Scenario, *, seed: int) -> Day:
    """The day that the seed decides."""
    rng = np.random.default_rng(seed)
    trainer, rollout = Lane(), Lane()
    steps: list[SimulatedStep] = []
    recovered: list[tuple[float, int, int]] = []
    outages = sorted(scenario.outages, key=lambda outage: outage.at_hour)
    now, step, end_of_day = scenario.boot_seconds, 0, scenario.hours * 3600.0
    for lane in (trainer, rollout):
        lane.add("boot", now)
    while now < end_of_day and step < scenario.steps:
        done = _step(scenario, step + 1, now, rng)
        if outages and done.end > outages[0].at_hour * 3600.0:
            outage = outages.pop(0)
            now = _outage(outage, trainer, rollout)
            checkpoint = step - step % scenario.checkpoint_every_steps
            recovered.append((now, checkpoint, step))
            step = checkpoint
            continue
        _draw(done, trainer, rollout)
        now = done.end
        if now <= end_of_day:
            steps.append(done)
            step += 1
    return Day(steps=tuple(steps), trainer=trainer, rollout=rollout, recovered=tuple(recovered))


def _outage(outage: Outage, *lanes: Lane) -> float:
    begin = outage.at_hour * 3600.0
    for lane in lanes:
        while len(lane.ends) > 1 and lane.ends[-2] >= begin:
            lane.ends.pop(), lane.states.pop()
        lane.ends[-1] = begin
        lane.add("hang", begin + outage.hang_seconds)
        lane.add("down", lane.ends[-1] + outage.down_seconds)
        lane.add("boot", lane.ends[-1] + outage.load_seconds)
    return lanes[0].ends[-1]


def _step(scenario: Scenario, number: int, start: float, rng: np.random.Generator) -> SimulatedStep:
    jitter = {name: float(rng.lognormal(0.0, 0.03)) for name in scenario.planned_seconds}
    seconds = {
        name: planned * scenario.factors.get(name, 1.0) * jitter[name]
        for name, planned in scenario.planned_seconds.items()
    }
    hour = (start + seconds["generate"]) / 3600.0
    slow = next((s.factor for s in scenario.slowdowns if s.from_hour <= hour < s.to_hour), 1.0)
    backlog = max(
        0.0,
        scenario.samples_per_step
        - served_per_second(scenario, slow) * (seconds["generate"] * (1.0 - FIRST_ARRIVAL_SHARE)),
    )
    seconds["sandbox"] = seconds["sandbox"] * slow + backlog / served_per_second(scenario, slow)
    rollout = seconds["generate"] + seconds["sandbox"]
    trainer = seconds["log-prob"] + seconds["reference"] + seconds["train"]
    evaluated = number % scenario.evaluate_every_steps == 0
    end = start + max(rollout, trainer) + seconds["weight sync"] + evaluated * scenario.evaluate_seconds
    phases = seconds | ({"evaluate": scenario.evaluate_seconds} if evaluated else {})
    return SimulatedStep(step=number, start=start, end=end, phases=phases, slow=slow, evaluated=evaluated)


def served_per_second(scenario: Scenario, slow: float) -> float:
    """Programs that all slots together end per second."""
    return scenario.sandbox_slots / (scenario.sandbox_mean_seconds * slow)


def _draw(done: SimulatedStep, trainer: Lane, rollout: Lane) -> None:
    phases = done.phases
    synced = done.end - phases.get("evaluate", 0.0)
    meet = synced - phases["weight sync"]
    at = done.start
    for name in ("log-prob", "reference", "train"):
        at += phases[name]
        trainer.add(name, at)
    trainer.add("wait_rollout", max(at, meet))
    at = done.start + phases["generate"]
    rollout.add("generate", at)
    rollout.add("wait_sandbox", at + phases["sandbox"])
    rollout.add("sync", max(at + phases["sandbox"], meet))  # it waits for the trainer's new weights
    for lane in (trainer, rollout):
        lane.add("sync", synced)
    if done.evaluated:
        trainer.add("wait_rollout", done.end)
        rollout.add("evaluate", done.end)
