"""What sandboxes do to a stage: why GPUs wait for them, what that costs, and the nodes that would remove it."""

from __future__ import annotations

import dataclasses

import numpy as np

from planners.physics.columns import one
from planners.physics.constants import Constants
from planners.physics.sandbox_times import queue_wait_seconds, simulate_judges
from planners.plan.plan_rows import Idle
from planners.search.evaluate import Shortlist, StageEstimate, estimate_stage
from planners.search.fleets import NodeGroup, StageFleet
from planners.units import SECONDS_PER_HOUR
from planners.workload.stage_work import SandboxWork

SIMULATED_CALLS = 4096
"""Judging runs that the event simulation follows; larger steps are scaled down with their slots."""
SEED = 1
CURE_SHARES = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0)
"""Sandbox fleets, relative to the chosen one, that are tried to remove idle GPU time."""
CURED = 0.75
"""Share of the removable idle time that counts as removing it."""


def sandbox_bound(wanted: SandboxWork, shortlist: Shortlist, result: StageEstimate) -> str:
    """Why sandboxes are exposed: serial code, too few held sandboxes, a backlog, or the slowest tests."""
    slots = max(one(shortlist.usable_slots), 1.0)
    if wanted.serial:
        return "reward code calls one sample at a time"
    if wanted.stateful and slots < wanted.trajectories:
        return f"{slots:,.0f} concurrent sandbox{'' if slots == 1 else 'es'}"
    beside = one(result.timing.generate) + one(result.timing.judging)
    backlog = wanted.calls * wanted.service.mean_seconds / slots - wanted.overlap_share * beside
    return "queue: more runs than concurrent sandboxes" if backlog > 0.1 * one(result.exposed) else "slowest tests"


def idle(
    shortlist: Shortlist, fleet: StageFleet, constants: Constants, result: StageEstimate, hours: float
) -> Idle | None:
    """GPU time that the sandbox fleet costs, in dollars, and the sandbox nodes that would remove it."""
    work, wanted = shortlist.work, shortlist.work.sandbox_work
    if fleet.gpus is None or fleet.sandbox is None or wanted is None:
        return None
    without = _unhindered_seconds(wanted, shortlist, constants, result)
    lost_seconds = one(result.unit_seconds) - without
    gpu_hours = one(shortlist.layouts.gpus) * lost_seconds * work.units / SECONDS_PER_HOUR
    rate = fleet.gpus.all_usd_per_hour
    nodes, cost, cured_seconds = _cure(fleet.sandbox, shortlist, constants, result, hours)
    return Idle(
        gpu_hours=gpu_hours,
        usd=None if rate is None else gpu_hours * rate / max(one(shortlist.layouts.gpus), 1.0),
        cure_nodes=nodes,
        cure_usd=cost,
        cure_share=min(cured_seconds / max(lost_seconds, 1e-9), 1.0),
        slots_busy_share=_busy_share(wanted, shortlist, result),
        starts_per_second=starts_per_second(wanted, result),
        reason=sandbox_bound(wanted, shortlist, result),
    )


def _unhindered_seconds(
    wanted: SandboxWork, shortlist: Shortlist, constants: Constants, result: StageEstimate
) -> float:
    """Seconds of a unit if sandboxes cost no time: nothing waits for them, and every trajectory has one."""
    if wanted.stateful:
        enough = np.maximum(shortlist.slots, wanted.trajectories)
        result = estimate_stage(dataclasses.replace(shortlist, slots=enough), constants)
    return one(result.timing.unit_seconds(0.0))


def _cure(
    sandbox: NodeGroup, shortlist: Shortlist, constants: Constants, result: StageEstimate, hours: float
) -> tuple[int | None, float | None, float]:
    """The fewest further nodes that remove most of the removable idle time, their dollars over the run, and the seconds
    that they take off a unit."""
    have, per_node = sandbox.nodes, max(sandbox.slots_per_node, 1)
    now = one(result.unit_seconds)
    more = sorted({*(int(np.ceil(have * share)) for share in CURE_SHARES), have + 1})
    same = shortlist.take(np.zeros(len(more), dtype=np.int64))
    larger = dataclasses.replace(same, slots=np.array([float(nodes * per_node) for nodes in more]))
    seconds = estimate_stage(larger, constants).unit_seconds.tolist()
    best = min(seconds)
    if now - best < 0.01 * now:
        return None, None, 0.0
    for nodes, took in zip(more, seconds, strict=True):
        if now - took >= CURED * (now - best):
            price = sandbox.usd_per_hour
            usd = None if price is None else float(nodes - have) * price * hours * took / now
            return nodes - have, usd, now - took
    return None, None, 0.0


def starts_per_second(wanted: SandboxWork, result: StageEstimate) -> float:
    """Sandboxes that are started per second of a unit."""
    starts = wanted.trajectories if wanted.stateful else wanted.calls
    return starts / max(one(result.unit_seconds), 1e-9)


def _busy_share(wanted: SandboxWork, shortlist: Shortlist, result: StageEstimate) -> float:
    """Busy share of the slots while there is work."""
    slots = max(one(shortlist.usable_slots), 1.0)
    if wanted.stateful:
        return min(1.0, wanted.trajectories / slots)
    scale = min(1.0, SIMULATED_CALLS / max(wanted.calls, 1.0))
    count = max(int(wanted.calls * scale), 1)
    spread = np.linspace(0.0, 1.0, count) * max(one(result.timing.generate), 1e-6)
    _, busy = simulate_judges(
        finish_seconds=spread, service=wanted.service, slots=max(int(slots * scale), 1), seed=SEED
    )
    return min(busy, 1.0)


def steady_wait_seconds(wanted: SandboxWork, shortlist: Shortlist, result: StageEstimate) -> float | None:
    """Mean wait of a run if samples arrived evenly over the unit; None where sandboxes are held, or a backlog grows."""
    if wanted.stateful:
        return None
    rate = wanted.calls / max(one(result.unit_seconds), 1e-9)
    wait = one(queue_wait_seconds(arrivals_per_second=rate, service=wanted.service, slots=shortlist.usable_slots))
    return wait if np.isfinite(wait) else None
