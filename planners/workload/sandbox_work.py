"""The sandbox work of a unit: runs, trajectories that hold a sandbox, seconds of a run, and the wait for them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from planners.physics.codes import ASYNC
from planners.physics.columns import Array
from planners.physics.sandbox_times import Service, judge_exposed_seconds, start_seconds
from planners.spec.distributions import Durations
from planners.spec.profiles import sandbox_need, shown
from planners.spec.stage_options import ProfileName, SandboxSpec
from planners.workload.factor_lookup import find_factor
from planners.workload.stage_work import SandboxWork, StageWork
from planners.workload.timing import Timing

STREAMED_OVERLAP = 0.8
"""Share of the generation time in which finished samples are judged: rewards stream while others are still being
written.  Assumption; a spec with `serial: true` has none."""

SECONDS_P95_RATIO = 3.0
"""p95 over mean of run times where only the mean is given.  Assumption (a log standard deviation of 0.92)."""

TOOL_SECONDS = 2.0
"""One tool call between turns where nothing is stated.  Assumption: edits and searches take less, test runs more."""

MAX_FAILURE_SHARE = 0.99

SLOTS_PER_NODE = 64.0
"""Sandboxes per node for the start budget, before the machines are chosen.  Assumption."""


def sandbox_work(
    spec: SandboxSpec | None, default_profile: ProfileName, *, samples: float, replaced_share: float = 0.0
) -> SandboxWork:
    """The sandbox work of `samples` per unit, gaps filled from the profile.

    replaced_share: of the runs that an outcome critic makes unnecessary.  Runs that fail for no fault of the code are
    repeated: calls / (1 - failure share).
    """
    need = sandbox_need(spec, default_profile=default_profile)
    mean = max(need.seconds.mean, 1e-3)
    limit = max(min(need.time_limit_seconds, need.seconds.max or need.time_limit_seconds), mean)
    p95 = need.seconds.p95 if need.seconds.p95 is not None else mean * SECONDS_P95_RATIO
    repeated = 1.0 / (1.0 - min(need.failure_share, MAX_FAILURE_SHARE))
    return SandboxWork(
        **{field.name: getattr(need, field.name) for field in fields(need)},
        service=Service(mean_seconds=mean, p95_seconds=min(max(p95, mean), limit), limit_seconds=limit),
        calls=samples * need.calls_per_sample * (1.0 - replaced_share) * repeated,
        trajectories=samples,
        overlap_share=0.0 if need.serial else STREAMED_OVERLAP,
        seconds_stated=None if any(row.name == "sandbox.seconds" for row in need.assumed) else mean,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStarts:
    """How fast sandboxes start on the machine that a plan is for."""

    start_seconds: Durations | None = None
    """None: not measured there; `source` says so."""
    per_second_per_node: float | None = None
    source: str


def with_starts(work: StageWork, starts: SandboxStarts) -> StageWork:
    """`work` with measured starts, where the spec leaves them to profile `judge`: others start more."""
    wanted = work.sandbox_work
    if wanted is None or wanted.profile != "judge":
        return work
    measured = {
        "sandbox.start_seconds": starts.start_seconds,
        "sandbox.starts_per_second_per_node": starts.per_second_per_node,
    }
    rows = {row.name: row for row in work.assumed}
    for name in measured.keys() & rows.keys():
        row, value = rows[name], measured[name]
        if value is None:
            rows[name] = replace(row, source=f"{row.source}; {starts.source}")
            continue
        rows[name] = replace(row, value=shown(value), source=starts.source)
        wanted = replace(wanted, **{name.removeprefix("sandbox."): value})  # type: ignore[arg-type]  # fields of it
    return replace(work, sandbox_work=wanted, assumed=tuple(rows.values()))


def exposed_seconds(work: StageWork, timing: Timing, slots: Array) -> Array:
    """Seconds per unit in which nothing hides the sandboxes.  Broadcasts timing (layouts) against slots.

    Judging after generation, plus starts where trajectories hold their sandbox.  With k steps of staleness a share
    k/(1+k) of the wait for the last runs is hidden, as the schedule hides the tail of generation; what remains is the
    backlog. What own runs taught of the sandboxes multiplies the result.
    """
    wanted = work.sandbox_work
    if wanted is None:
        return np.zeros(np.broadcast_shapes(np.shape(timing.generate), np.shape(slots)))
    plain = timing.by_physics or timing
    beside = np.maximum(np.asarray(plain.generate + plain.judging + 0.0 * slots), plain.api)
    judged = judge_exposed_seconds(
        calls=wanted.calls,
        service=wanted.service,
        slots=slots,
        generate_seconds=beside,
        overlap_share=wanted.overlap_share,
    )
    if wanted.stateful:
        judged = judged + start_seconds(
            starts=np.minimum(slots, wanted.trajectories),
            nodes=np.maximum(slots / SLOTS_PER_NODE, 1.0),
            starts_per_second_per_node=wanted.starts_per_second_per_node,
            seconds_per_start=wanted.start_seconds.mean,
        )
    stale = work.staleness_steps
    hidden = np.where(np.equal(timing.schedule, ASYNC), stale / (1.0 + stale), 0.0)
    backlog = np.maximum(wanted.calls * wanted.service.mean_seconds / slots - beside, 0.0)
    exposed = (1.0 - hidden) * judged + hidden * np.minimum(backlog, judged)
    learned = find_factor(work, "sandbox", gpu="", sharding="")
    return np.asarray(exposed if learned is None else exposed * np.exp(learned.log_factor))
