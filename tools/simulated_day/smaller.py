"""The two smaller runs of the day: synthetic triples, and an evaluation of agents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from clusterctl.dashboard.sample import START
from tools.simulated_day.frames import Pool, gpu_frame
from tools.simulated_day.incidents import Incident
from tools.simulated_day.record import Recorded, StepDone
from tools.simulated_day.story import EVALUATE, HOURS, SEED, SYNTHESIZE
from tools.simulated_day.timeline import Lane

if TYPE_CHECKING:
    from planners.plan.value import Plan, StagePlan

BATCHES = 20
"""Both runs report their work in so many parts."""
BOOT_SECONDS = 420.0
NAMES = {SYNTHESIZE: ("teacher", "synth"), EVALUATE: ("evaluation", "eval")}
"""Role of the GPUs, and how the nodes' names begin."""


def synthesis(plan: Plan) -> Recorded:
    """Writes, tries and verifies triples; slower than planned, and its duplicates grow."""
    stage, rng = plan.stages[0], np.random.default_rng(SEED + 20)
    spec = plan.spec["stages"][0]
    yields: Mapping[str, float] = spec["yields"]
    lane, ends, phases = _batches(stage, from_hour=1.0, busy="generate", factor=1.12)
    wanted = spec["items"] / BATCHES / float(np.prod(list(yields.values())))
    steps = []
    for i in range(BATCHES):
        drift = {"not_duplicate": 1.0 - 0.012 * i}
        kept = {name: min(1.0, share * drift.get(name, 1.0) * rng.normal(1, 0.01)) for name, share in yields.items()}
        metrics = {f"yield_{name}": share for name, share in kept.items()} | {
            "items_written": wanted,
            "items_accepted": round(wanted * float(np.prod(list(kept.values())))),
            "teacher_tokens": stage.demand["teacher tokens"] / BATCHES * rng.normal(1.06, 0.02),
            "student_tokens": stage.demand["student tokens"] / BATCHES * rng.normal(1, 0.02),
            "near_duplicate_share": 1.0 - kept["not_duplicate"],
            "distinct_ngram_share": 0.62 - 0.011 * i + rng.normal(0, 0.006),
        }
        steps.append(_step(stage.name, i, ends[i], phases, metrics))
    return _recorded(plan, SYNTHESIZE, lane, steps, left=("synth-sandbox-1",))


def evaluation(plan: Plan) -> Recorded:
    """Five hundred issues, a little fewer solved than assumed."""
    stage, rng = plan.stages[0], np.random.default_rng(SEED + 30)
    lane, ends, phases = _batches(stage, from_hour=11.0, busy="evaluate", factor=1.3)
    steps = []
    for i in range(BATCHES):
        solved = int(rng.binomial(500 // BATCHES, 0.41))
        metrics = {
            "tasks": 500 / BATCHES,
            "solved": float(solved),
            "pass_at_1": solved / (500 / BATCHES),
            "time_limit_share": abs(rng.normal(0.03, 0.01)),
        }
        steps.append(_step(stage.name, i, ends[i], phases, metrics))
    return _recorded(plan, EVALUATE, lane, steps)


def _batches(
    stage: StagePlan, *, from_hour: float, busy: str, factor: float
) -> tuple[Lane, list[float], dict[str, float]]:
    """What the GPUs do from a given hour on, when each batch ends, and the seconds of its phases."""
    lane, now = Lane(), from_hour * 3600.0
    phases = {phase.name: phase.seconds * factor / BATCHES for phase in stage.phases}
    wait = phases.get("sandbox", 0.0)
    lane.add("down", now)
    lane.add("boot", now := now + BOOT_SECONDS)
    ends = []
    for _ in range(BATCHES):
        lane.add(busy, now := now + sum(phases.values()) - wait)
        lane.add("wait_sandbox", now := now + wait)
        ends.append(now)
    return lane, ends, phases


def _step(stage: str, batch: int, end: float, phases: Mapping[str, float], metrics: Mapping[str, float]) -> StepDone:
    at = START + timedelta(seconds=end)
    return StepDone(stage=stage, step=batch + 1, of=BATCHES, at=at, phases=phases, metrics=metrics)


def _recorded(plan: Plan, run: str, lane: Lane, steps: list[StepDone], *, left: tuple[str, ...] = ()) -> Recorded:
    role, prefix = NAMES[run]
    count = {pool.role: pool.nodes for pool in plan.pools}
    gpu = tuple(f"{prefix}-{i + 1}" for i in range(count["rollout"]))
    sandboxes = tuple(f"{prefix}-sandbox-{i + 1}" for i in range(count["sandbox"]))
    start = START + timedelta(seconds=lane.ends[0])
    frame = gpu_frame(Pool(nodes=gpu, run=run, role=role, lane=lane, fb_used_mib=74_800), START, hours=HOURS, seed=SEED)
    absent = Incident(
        kind="absent", node=sandboxes[0], subject="sandbox", text="its sandbox server reports no counters"
    )
    return Recorded(
        plan=plan,
        nodes={"rollout": gpu, "sandbox": sandboxes},
        start=start,
        end=steps[-1].at,
        steps=tuple(steps),
        gpu=(frame.filter(frame["at"] > start),),
        left=left,
        notes=(absent,),
    )
