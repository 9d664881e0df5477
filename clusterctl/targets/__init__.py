"""Where a run can live: one interface (`base`), one module per kind of place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError
from clusterctl.fleet.place import STATE_URL
from clusterctl.targets.places import known_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.targets.base import Target
    from planners.plan.value import Plan

CLOUDS = ("aws", "gcp", "azure")
KINDS = ("local", "fake", "slurm", "kubernetes", *CLOUDS)
"""Kinds of target that this version runs on."""


def target_of(plan: Plan, store: Path) -> Target:
    """The target that a plan chose.  Raises SpecError for one that this version can plan and not run."""
    chosen = {pool.cloud for pool in plan.pools}
    place = chosen.pop() if len(chosen) == 1 else ", ".join(sorted(chosen))
    if place.partition(":")[0] not in KINDS:
        raise SpecError(
            f"a run lives in one place: this machine, a cluster of Slurm or Kubernetes, AWS, Google Cloud or Azure; "
            f"and `{plan.name}` is planned on {place}",
            hint="`clusterctl init quickstart` writes a spec that runs here",
        )
    return _target(place, store, plan)


def targets(store: Path) -> Sequence[Target]:
    """All places where something of this store may live: for `sweep`."""
    places = ["local", "fake", *known_places(store)]
    if os.environ.get(STATE_URL):  # another machine may have made a cluster whose state is there
        places += [cloud for cloud in CLOUDS if cloud not in places]
    return [_target(place, store) for place in places if place.partition(":")[0] in KINDS]


def _target(place: str, store: Path, plan: Plan | None = None) -> Target:
    kind, _, name = place.partition(":")
    if kind == "slurm":
        from clusterctl.targets.slurm import SlurmTarget
        from clusterctl.targets.slurm_tasks import supervisors_of

        return SlurmTarget(store, name, supervisors=supervisors_of(plan) if plan is not None else None)
    if kind == "kubernetes":
        from clusterctl.targets.kubernetes import KubernetesTarget

        return KubernetesTarget(store, name)
    if kind in CLOUDS:
        from clusterctl.targets.cloud import CloudTarget

        return CloudTarget(store, kind)
    if kind == "fake":
        from clusterctl.targets.fake import FakeTarget

        return FakeTarget(store)
    from clusterctl.targets.local import LocalTarget

    return LocalTarget(store)
