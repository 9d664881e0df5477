"""What of ours is in a cloud and belongs to no live run: found by tag, whatever any state says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from clusterctl.clouds.base import Cloud, CloudError, CloudResource
from clusterctl.targets.base import Leftover, Unreachable


def left_in_cloud(
    cloud: Cloud, regions: Sequence[str], live_runs: frozenset[str], known_runs: frozenset[str]
) -> Sequence[Leftover]:
    """Of runs that are known and don't live.  Raises Unreachable where a place could not be asked."""
    try:
        found = cloud.resources(regions or None, None)
    except CloudError as error:
        raise Unreachable(f"{cloud.name} can't be asked: {error.message}", hint=error.hint) from error
    mine = [r for r in found.resources if r.run_id in known_runs - live_runs]
    if found.not_asked and not mine:
        where = "; ".join(f"{place.place}: {place.reason}" for place in found.not_asked)
        raise Unreachable(f"{cloud.name} could not be asked everywhere: {where}")
    return [_leftover(resource) for resource in mine]


def _leftover(resource: CloudResource) -> Leftover:
    return Leftover(
        kind=resource.kind,
        address=f"{resource.cloud}:/{resource.region}/{resource.id}",
        run_id=resource.run_id,
        role=resource.name,
        since=resource.since or datetime.now(tz=UTC),
        note="" if resource.command else resource.note or "it can't be removed",
    )
