"""A run, opened: its row in the ledger, its plan, its target, its folder, its clock.  Every command starts here."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError
from clusterctl.files.plan_file import read_plan
from clusterctl.ledger.rows import Intent
from clusterctl.run.clock import SteadyClock
from clusterctl.run.folder import RunFolder
from clusterctl.run.jobs import local_jobs
from clusterctl.targets.base import TAG_PREFIX, Job, RunRef
from clusterctl.targets.local import LocalTarget
from planners.run.reconcile import resource_id
from planners.spec.run import RunSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clusterctl.ledger import Ledger
    from clusterctl.targets.base import Target
    from planners.plan.value import Plan

NODE = "node"
"""Role of the resource that is billed: the machine itself."""
LOCAL = "local"
FREE = Decimal(0)
"""A process costs nothing beside its machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """Everything that acting on a run needs."""

    run_id: str
    ledger: Ledger
    plan: Plan
    spec: RunSpec
    target: Target
    folder: RunFolder
    ref: RunRef
    clock: SteadyClock
    jobs: Mapping[str, Job]

    @property
    def node_id(self) -> str:
        """Id of the billed machine."""
        return resource_id(self.run_id, NODE, 1)

    @property
    def usd_per_hour(self) -> Decimal | None:
        """Price of the machine as planned, exactly as written; None = unknown."""
        prices = [pool.usd_per_node_hour for pool in self.plan.pools]
        return (
            None
            if not prices or any(price is None for price in prices)
            else sum((Decimal(str(p)) for p in prices), Decimal(0))
        )

    @property
    def limit_usd(self) -> Decimal | None:
        """The spec's limit."""
        return None if self.spec.limits.usd is None else Decimal(str(self.spec.limits.usd))

    @property
    def limit_hours(self) -> Decimal | None:
        """The spec's limit."""
        return None if self.spec.limits.hours is None else Decimal(str(self.spec.limits.hours))

    def intent(self, identity: str, role: str) -> Intent:
        """A resource as it is written before the act."""
        gpus = max((pool.gpus_per_node for pool in self.plan.pools), default=0)
        own = {"role": role} | ({"node": socket.gethostname(), "gpus": str(gpus)} if role == NODE else {})
        return Intent(
            resource_id=identity, run_id=self.run_id, role=role, kind="machine" if role == NODE else "process",
            provider=LOCAL, tags=dict(self.ref.tags) | {f"{TAG_PREFIX}/{name}": value for name, value in own.items()},
            usd_per_hour=self.usd_per_hour if role == NODE else FREE, price_source="the plan",
        )  # fmt: skip


def run_id_of(plan: Plan, *, again: int = 1) -> str:
    """Id of the nth run of a plan: the same for the same plan, whoever asks and whenever."""
    digits = hashlib.sha256(f"{plan.id}/{again}".encode()).hexdigest()[:6]
    return f"{plan.name}-{digits}"


def open_run(ledger: Ledger, store: Path, run_id: str) -> OpenRun:
    """The run with this id.  Raises StateError when the ledger or its plan can't be read."""
    folder = RunFolder(store / "runs" / run_id)
    plan = read_plan(folder.plan)
    spec = RunSpec.model_validate(plan.spec)
    tags = {f"{TAG_PREFIX}/run": run_id, f"{TAG_PREFIX}/plan-id": plan.id} | {
        f"{TAG_PREFIX}/{name}": value for name, value in spec.labels.items()
    }
    return OpenRun(
        run_id=run_id, ledger=ledger, plan=plan, spec=spec, target=target_of(plan, store), folder=folder,
        ref=RunRef(run_id=run_id, folder=folder.path, tags=tags), clock=SteadyClock(folder.beat),
        jobs=local_jobs(spec, folder),
    )  # fmt: skip


def target_of(plan: Plan, store: Path) -> Target:
    """The target that a plan chose.  Raises SpecError for one that this version can plan and not run."""
    clouds = {pool.cloud for pool in plan.pools}
    if clouds == {LOCAL}:
        return LocalTarget(store)
    raise SpecError(
        f"this version runs plans on this machine only, and `{plan.name}` is planned on {', '.join(sorted(clouds))}",
        hint="`clusterctl init quickstart` writes a spec that runs here",
    )
