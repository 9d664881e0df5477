"""From a spec's sandbox to what a unit of work asks of the sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.demand.needs import Assumed, Sandboxing
from planners.physics.sandbox import Service

if TYPE_CHECKING:
    from planners.spec.profiles import Assumed as Filled
    from planners.spec.profiles import SandboxNeed

STREAMED_OVERLAP = 0.8
"""Share of the generation time in which finished samples are judged: rewards stream while others are still being
written.  Assumption; a spec with `serial: true` has none."""

SECONDS_P95_RATIO = 3.0
"""p95 over mean of run times where only the mean is given.  Assumption (a log standard deviation of 0.92)."""

TOOL_SECONDS = 2.0
"""One tool call between turns where nothing is stated.  Assumption: edits and searches take less, test runs more."""

MAX_FAILURE_SHARE = 0.99


def sandboxing(need: SandboxNeed, *, samples: float, replaced_share: float = 0.0) -> Sandboxing:
    """What `samples` per unit ask of the sandboxes.

    replaced_share: of the runs that an outcome critic makes unnecessary.  Runs that fail for no fault of the code
    are repeated:
    calls / (1 - failure share).
    """
    mean = max(need.seconds.mean, 1e-3)
    limit = max(need.time_limit_seconds, mean)
    p95 = need.seconds.p95 if need.seconds.p95 is not None else mean * SECONDS_P95_RATIO
    repeated = 1.0 / (1.0 - min(need.failure_share, MAX_FAILURE_SHARE))
    return Sandboxing(
        profile=need.profile,
        cpus=need.cpus,
        memory_gib=need.memory_gib,
        disk_gib=need.disk_gib,
        service=Service(mean_seconds=mean, p95_seconds=min(max(p95, mean), limit), limit_seconds=limit),
        calls=samples * need.calls_per_sample * (1.0 - replaced_share) * repeated,
        held=need.stateful,
        trajectories=samples,
        image_gib=need.image_gib,
        images=float(need.images),
        start_seconds=need.start_seconds.mean,
        starts_per_second_per_node=need.starts_per_second_per_node,
        max_per_node=need.max_per_node,
        concurrency=need.concurrency,
        overlap_share=0.0 if need.serial else STREAMED_OVERLAP,
        serial=need.serial,
    )


def assumed_rows(stage: str, filled: tuple[Filled, ...]) -> tuple[Assumed, ...]:
    """What a profile or benchmark supplied, named by stage."""
    return tuple(Assumed(name=f"{stage}.{row.field}", value=row.value, source=row.source) for row in filled)
