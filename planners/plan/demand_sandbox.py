"""From a spec's sandbox to what it asks for: profile defaults filled in and named as assumptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.physics.sandbox import Service
from planners.plan.defaults import PROFILES, SECONDS_P95_RATIO
from planners.plan.demand import Assumed, Sandboxing
from planners.spec.sandbox import SandboxSpec

if TYPE_CHECKING:
    from planners.plan.defaults import Profile

STREAMED_OVERLAP = 0.8
"""Share of the generation time in which finished samples are judged: rewards stream while others are still being
written."""


def sandboxing(
    spec: SandboxSpec | None, *, stage: str, default_profile: str, samples: float, replaced_share: float = 0.0
) -> tuple[Sandboxing, tuple[Assumed, ...]]:
    """What `samples` per unit ask of the sandboxes; the second value names what the profile supplied.

    replaced_share: of the runs that an outcome critic makes unnecessary.
    """
    given = spec or SandboxSpec()
    name = given.profile or default_profile
    profile = PROFILES[name]
    mean = given.seconds.mean if given.seconds else profile.mean_seconds
    service = _service(given, profile, mean)
    held = profile.stateful if given.stateful is None else given.stateful
    repeated = 1.0 / (1.0 - min(given.failure_share or 0.0, 0.99))
    start = given.start_seconds.mean if given.start_seconds else profile.start_seconds
    wanted = Sandboxing(
        profile=name,
        cpus=given.cpus or profile.cpus,
        memory_gib=given.memory_gib or profile.memory_gib,
        disk_gib=profile.disk_gib if given.disk_gib is None else given.disk_gib,
        service=service,
        calls=samples * (given.calls_per_sample or 1.0) * (1.0 - replaced_share) * repeated,
        held=held,
        trajectories=samples,
        image_gib=profile.image_gib if given.image_gib is None else given.image_gib,
        images=given.images or profile.images,
        start_seconds=start,
        starts_per_second_per_node=given.starts_per_second_per_node or profile.starts_per_second_per_node,
        max_per_node=given.max_per_node,
        concurrency=given.concurrency,
        overlap_share=0.0 if given.serial else STREAMED_OVERLAP,
        serial=given.serial,
    )
    return wanted, _assumed(given, profile, name, stage, service)


def _service(given: SandboxSpec, profile: Profile, mean: float) -> Service:
    """Seconds per judging run with its tail and its time limit."""
    limit = given.time_limit_seconds or (given.seconds.max if given.seconds else None) or profile.limit_seconds
    if given.seconds is None:
        p95 = profile.p95_seconds
    else:
        p95 = given.seconds.p95 if given.seconds.p95 is not None else mean * SECONDS_P95_RATIO
    limit = max(limit, mean)
    return Service(mean_seconds=max(mean, 1e-3), p95_seconds=min(max(p95, mean, 1e-3), limit), limit_seconds=limit)


def _assumed(given: SandboxSpec, profile: Profile, name: str, stage: str, service: Service) -> tuple[Assumed, ...]:
    """One assumption per field that the profile supplied."""
    values = {
        "cpus": f"{profile.cpus:g}",
        "memory_gib": f"{profile.memory_gib:g}",
        "seconds": f"mean {service.mean_seconds:g}, p95 {service.p95_seconds:g}",
        "image_gib": f"{profile.image_gib:g}",
        "start_seconds": f"{profile.start_seconds:g}",
        "starts_per_second_per_node": f"{profile.starts_per_second_per_node:g}",
    }
    return tuple(
        Assumed(name=f"{stage}.sandbox.{field}", value=value, source=f"profile {name}: {profile.source}")
        for field, value in values.items()
        if getattr(given, field) is None
    )
