"""A run, opened: its row in the ledger, its plan, its target, its folder, its clock.  Every command starts here."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError
from clusterctl.jobs.quickstart import local_jobs
from clusterctl.ledger.rows import Intent, Run
from clusterctl.runs.clock import SteadyClock
from clusterctl.runs.folder import RunFolder
from clusterctl.specfile.plan_file import parse_plan, read_plan
from clusterctl.targets.base import TAG_PREFIX, Job, RunRef, Target
from clusterctl.targets.local import LocalTarget
from planners.costs.tables import MACHINE
from planners.plan.value import Plan
from planners.runs.reconcile import Role
from planners.spec.run import RunSpec

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

NODE = "node"
"""Role of the resource that is billed: the machine itself."""
LOCAL = "local"
LINES = "lines"
"""Tag of a machine: the lines of the plan that it stands for, joined by +."""
MACHINE_UNIT = "node-hours"
"""Unit of the lines of machines."""
NONE = "none"
"""Value of a tag that nobody has stated."""
FREE = Decimal(0)
"""A process costs nothing beside its machine."""
PROCESS = "process"


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

    @property
    def usd_per_hour(self) -> Decimal | None:
        """Price of the machine as planned, exactly as written; None = unknown."""
        prices = [pool.usd_per_node_hour for pool in self.plan.pools]
        known = [Decimal(str(price)) for price in prices if price is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(prices) else None

    @property
    def jobs(self) -> Mapping[str, Job]:
        """How each role is started."""
        return local_jobs(self.spec, self.folder)

    @property
    def roles(self) -> Sequence[Role]:
        """The target's roles that this run has a job for."""
        jobs = self.jobs
        return [role for role in self.target.roles() if role.name in jobs]

    @property
    def planned_step_seconds(self) -> float:
        """The longest of its stages' units of work, at the plan's P90."""
        return max(stage.seconds_per_unit.p90 for stage in self.plan.stages)

    def intent(self, identity: str, role: str) -> Intent:
        """A resource as it is written before the act."""
        gpus = max((pool.gpus_per_node for pool in self.plan.pools), default=0)
        lines = "+".join(line.id for line in self.plan.lines if line.unit == MACHINE_UNIT)
        machine = {"node": socket.gethostname(), "gpus": str(gpus), LINES: lines}
        own = {"role": role} | (machine if role == NODE else {})
        return Intent(
            resource_id=identity,
            run_id=self.run_id,
            role=role,
            kind=MACHINE if role == NODE else PROCESS,
            provider=LOCAL,
            tags={**self.ref.tags, **{f"{TAG_PREFIX}/{name}": value for name, value in own.items()}},
            usd_per_hour=self.usd_per_hour if role == NODE else FREE,
            price_source="the plan",
        )


def run_id_of(plan: Plan, *, again: int = 1) -> str:
    """Id of the nth run of a plan: the same for the same plan, whoever asks and whenever."""
    digits = hashlib.sha256(f"{plan.id}/{again}".encode()).hexdigest()[:6]
    return f"{plan.name}-{digits}"


def open_run(ledger: Ledger, store: Path, run_id: str) -> OpenRun:
    """The run with this id.  Raises SpecError for an unknown one, StateError when its plan can't be read."""
    row, folder = ledger.get_run(run_id), RunFolder(store / "runs" / run_id)
    plan = read_plan(folder.plan) if folder.plan.exists() else _recorded_plan(ledger, row)
    spec, clock = RunSpec.model_validate(plan.spec), SteadyClock(folder.beat)
    return OpenRun(
        run_id=run_id,
        ledger=ledger,
        plan=plan,
        spec=spec,
        target=target_of(plan, store),
        folder=folder,
        clock=clock,
        ref=RunRef(run_id=run_id, folder=folder.path, tags=_tags(row, clock.now())),
    )


def _recorded_plan(ledger: Ledger, row: Run) -> Plan:
    """The plan as the ledger keeps it, where the run's folder has been deleted."""
    stored = ledger.get_plan(row.plan_id or "")
    content = json.loads(stored.content) | {"created_at": stored.created_at.isoformat()}
    return parse_plan(json.dumps(content), name=f"the plan of {row.run_id} in the ledger")


def _tags(row: Run, now: datetime) -> dict[str, str]:
    """What every resource of the run carries, for chargeback and `sweep`; the role comes with the resource.

    expires-at: the latest moment to which the limit in hours lets it live.
    """
    expires_at = now + timedelta(hours=float(row.limit_hours)) if row.limit_hours is not None else None
    ours = {
        "run": row.run_id,
        "team": row.labels.get("team", NONE),
        "plan-id": row.plan_id or NONE,
        "budget": NONE if row.limit_usd is None else f"{row.limit_usd:f}",
        "expires-at": NONE if expires_at is None else expires_at.isoformat(timespec="seconds"),
    }
    return {f"{TAG_PREFIX}/{name}": value for name, value in (dict(row.labels) | ours).items()}


def target_of(plan: Plan, store: Path) -> Target:
    """The target that a plan chose.  Raises SpecError for one that this version can plan and not run."""
    clouds = {pool.cloud for pool in plan.pools}
    if clouds == {LOCAL}:
        return LocalTarget(store)
    raise SpecError(
        f"this version runs plans on this machine only, and `{plan.name}` is planned on {', '.join(sorted(clouds))}",
        hint="`clusterctl init quickstart` writes a spec that runs here",
    )
