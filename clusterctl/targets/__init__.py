"""Where a run can live: one interface (`base`), one module per kind of place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.targets.base import Target
    from planners.plan.value import Plan

KINDS = ("local", "fake")
"""Kinds of target that this version runs on."""


def target_of(plan: Plan, store: Path) -> Target:
    """The target that a plan chose.  Raises SpecError for one that this version can plan and not run."""
    chosen = {pool.cloud for pool in plan.pools}
    kind = chosen.pop().partition(":")[0] if len(chosen) == 1 else ", ".join(sorted(chosen))
    if kind not in KINDS:
        raise SpecError(
            f"this version runs plans on this machine only, and `{plan.name}` is planned on {kind}",
            hint="`clusterctl init quickstart` writes a spec that runs here",
        )
    return _target(kind, store)


def targets(store: Path) -> Sequence[Target]:
    """All places where something of this store may live: for `sweep`."""
    return [_target(kind, store) for kind in KINDS]


def _target(kind: str, store: Path) -> Target:
    if kind == "fake":
        from clusterctl.targets.fake import FakeTarget

        return FakeTarget(store)
    from clusterctl.targets.local import LocalTarget

    return LocalTarget(store)
