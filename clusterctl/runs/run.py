"""A run, opened: its row in the ledger, its plan, its target, its folder, its clock.  Every command starts here."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.clock import SteadyClock
from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from clusterctl.ledger.rows import Intent, Run
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.runs.folder import RunFolder
from clusterctl.targets import target_of
from clusterctl.targets.base import TAG_PREFIX, MachineRequest, RunRef, Standing, Target
from clusterctl.targets.wishes import last_beat
from planners.plan.value import Plan, Pool
from planners.runs.limits import MACHINE, STANDING
from planners.runs.next_offer import pools_on
from planners.runs.plan_change import pool_shape
from planners.runs.reconcile import Role, resource_id
from planners.spec.run_spec import RunSpec

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Resource

NODE = "node"
"""Role of the resources that are billed: the machines themselves."""
LINES = "lines"
"""Tag of a machine: the lines of the plan that it stands for, joined by +."""
POOL_SHAPE = "pool-shape"
"""Tag of a machine: its pool as it was planned when it was asked for."""
MACHINE_UNIT = "node-hours"
"""Unit of the lines of machines."""
NONE = "none"
"""Value of a tag that nobody has stated."""
FREE = Decimal(0)
"""A process costs nothing beside its machine."""
PROCESS = "process"


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def jobs(self) -> Mapping[str, Job]:
        """How each role is started."""
        return self.target.jobs(self.ref, self._kept_tags())

    @cached_property
    def roles(self) -> Sequence[Role]:
        """The target's roles that this run has a job for."""
        return [role for role in self.target.roles(self.plan, self.ref.stage) if role.name in self.jobs]

    @property
    def role_names(self) -> Sequence[str]:
        """Of all its stages; where no template can launch it, those that it had."""
        names = [resource.role for resource in self.ledger.resources(self.run_id) if resource.kind == PROCESS]
        with contextlib.suppress(SpecError):
            found = (role.name for stage in self.plan.stages for role in self.target.roles(self.plan, stage.name))
            names = [*(role.name for role in self.roles), *found]
        return list(dict.fromkeys(names))

    @property
    def planned_step_seconds(self) -> float:
        """Of a unit of work of its stage, at the plan's P90."""
        return self.ref.planned.seconds_per_unit.p90

    @property
    def next_stage(self) -> str | None:
        """The stage after the one that it is at; None after the last."""
        names = [stage.name for stage in self.plan.stages]
        following = names[names.index(self.ref.planned.name) + 1 :]
        return following[0] if following else None

    def at_stage(self, stage: str) -> OpenRun:
        """The same run at another stage."""
        return replace(self, ref=replace(self.ref, stage=stage))

    def by_plan(self, plan: Plan) -> OpenRun:
        """The same run by another plan; its clock goes on."""
        row = self.ledger.get_run(self.run_id)
        names = [stage.name for stage in plan.stages]
        stage = self.ref.stage if self.ref.stage in names else names[0]
        tags = _tags(replace(row, plan_id=plan.id), self.clock.now())
        ref = replace(self.ref, plan=plan, tags=tags, stage=stage)
        return replace(self, plan=plan, spec=RunSpec.model_validate(plan.spec), ref=ref)

    def machine_requests(
        self, resources: Sequence[Resource], now: datetime, *, alternative: int
    ) -> list[MachineRequest]:
        """A request for each node of each pool of the run's stage: the one that is recorded and not gone, else the next
        of its slot.  A pool that another plan has with more nodes, or of another kind, is another: its nodes run
        together, and start anew together.

        alternative: number of the plan's alternative that the run is on; 0 = the plan's own fleet.
        """
        requests = []
        for pool in pools_on(self.plan, alternative, self.ref.planned.name):
            for index in range(pool.nodes):
                slot = pool.id if index == 0 else f"{pool.id}-{index + 1}"
                mine = [r for r in resources if r.kind == MACHINE and r.slot == slot]
                last = mine[-1] if mine and mine[-1].state != "gone" and _is_of(mine[-1], pool) else None
                identity = last.resource_id if last else resource_id(self.run_id, slot, len(mine) + 1)
                since = last.intended_at if last else now
                requests.append(MachineRequest(resource_id=identity, pool=pool, index=index, since=since))
        return requests

    def machine_intent(self, request: MachineRequest) -> Intent:
        """A node of a pool as it is written before it is asked for: it is billed under its own price."""
        pool = request.pool
        lines = [line for line in self.plan.lines if line.unit == MACHINE_UNIT and line.stage in {pool.stage, ""}]
        return Intent(
            resource_id=request.resource_id,
            run_id=self.run_id,
            role=NODE,
            kind=MACHINE,
            provider=pool.cloud,
            tags=self.tags(
                {
                    "role": NODE,
                    "pool": pool.id,
                    "gpus": str(pool.gpus_per_node),
                    POOL_SHAPE: pool_shape(pool),
                    LINES: "+".join(line.id for line in lines),
                }
            ),
            usd_per_hour=None if pool.usd_per_node_hour is None else Decimal(str(pool.usd_per_node_hour)),
            price_source="the plan",
        )

    def standing_intent(self, standing: Standing, number: int) -> Intent:
        """What is paid while the run's cluster stands, as it is written before it is made; number: of such a thing."""
        price = standing.usd_per_hour
        return Intent(
            resource_id=resource_id(self.run_id, standing.slot, number),
            run_id=self.run_id,
            role=STANDING,
            kind=STANDING,
            provider=self.plan.pools[0].cloud,
            tags=self.tags({"role": STANDING, "what": standing.what, LINES: standing.lines}),
            usd_per_hour=None if price is None else Decimal(str(price)),
            price_source=standing.price_source,
        )

    def instance_intent(self, identity: str, role: str) -> Intent:
        """An instance of a role as it is written before it is launched."""
        job = self.jobs.get(role)
        return Intent(
            resource_id=identity,
            run_id=self.run_id,
            role=role,
            kind=PROCESS,
            provider=self.plan.pools[0].cloud,
            tags=self.tags({"role": role, **(job.tags if job else {})}),
            usd_per_hour=FREE,
            price_source="the plan",
        )

    def tags(self, own: Mapping[str, str]) -> dict[str, str]:
        """Tags of a resource of the run: the run's, and its own, which come without their prefix."""
        return {**self.ref.tags, **{f"{TAG_PREFIX}/{name}": value for name, value in own.items()}}

    def event(self, kind: str, message: str, event_id: str, role: str | None = None, **data: int) -> None:
        """Record what happens now; with an id that is recorded already nothing."""
        at = self.clock.now()
        self.ledger.record_event(self.run_id, kind, message, role=role, data=data, event_id=event_id, at=at)

    def _kept_tags(self) -> dict[str, Mapping[str, str]]:
        """By role, the tags of its last start, without their prefix."""
        kept: dict[str, Mapping[str, str]] = {}
        for resource in self.ledger.resources(self.run_id):
            if resource.kind == PROCESS:
                kept[resource.role] = {name.rpartition("/")[2]: value for name, value in resource.tags.items()}
        return kept


def _is_of(machine: Resource, pool: Pool) -> bool:
    """Whether a machine was asked for as a node of this pool as it is planned; one without that tag is taken for it."""
    return machine.tags.get(f"{TAG_PREFIX}/{POOL_SHAPE}", pool_shape(pool)) == pool_shape(pool)


def run_id_of(plan: Plan, *, again: int = 1) -> str:
    """Id of the nth run of a plan: the same for the same plan, whoever asks and whenever."""
    digits = hashlib.sha256(f"{plan.id}/{again}".encode()).hexdigest()[:6]
    return f"{plan.name}-{digits}"


def open_run(ledger: Ledger, store: Path, name: str) -> OpenRun:
    """The run of this id or name, by the ledger alone.

    Raises SpecError for an unknown one, StateError when its plan can't be read.
    """
    row = ledger.get_run(name)
    run_id, folder = row.run_id, RunFolder(store / "runs" / row.run_id)
    plan, clock = stored_plan(ledger, row.plan_id or "", name=f"the plan of {row.run_id}"), SteadyClock(last_beat(row))
    stage = row.stage or plan.stages[0].name
    ref = RunRef(run_id=run_id, plan=plan, folder=folder.path, tags=_tags(row, clock.now()), stage=stage)
    return OpenRun(
        run_id=run_id,
        ledger=ledger,
        plan=plan,
        spec=RunSpec.model_validate(plan.spec),
        target=target_of(plan, store),
        folder=folder,
        clock=clock,
        ref=ref,
    )


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
