"""A cloud and a fleet in memory, which fail as the real ones fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clusterctl.clouds.base import CloudInstance, CloudResource, Found, NotAsked, Quota
from clusterctl.errors import ClusterctlError
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from clusterctl.fleet.stack import FleetDrift, FleetEvent, FleetOptions, FleetPreview, FleetStep
from planners.plan.value import Plan

START = datetime(2026, 11, 30, 10, tzinfo=UTC)
GPU, CPU = "gpu-p5-48xlarge", "sandbox-c6i-32xlarge"
FLEET = FleetOutputs(
    cloud="aws",
    region="us-east-1",
    cluster="rl-1",
    endpoint="https://rl-1.eks.example.com",
    certificate="Q0E=",
    namespace="clusterctl",
    service_account="clusterctl-jobs",
    account="123456789012",
    pools=(
        FleetPool(
            pool_id="g", name=GPU, group="ng-gpu", most_nodes=2, instance_type="p5.48xlarge", capacity_type="on_demand"
        ),
        FleetPool(
            pool_id="g",
            name=f"{GPU}-spot",
            group="ng-spot",
            most_nodes=2,
            instance_type="p5.48xlarge",
            capacity_type="spot",
        ),
        FleetPool(
            pool_id="s", name=CPU, group="ng-cpu", most_nodes=1, instance_type="c6i.32xlarge", capacity_type="on_demand"
        ),
    ),
)


@dataclass
class FakeCloud:
    """One account.  `now` is its clock."""

    name: str = "aws"
    now: datetime = START
    no_capacity: tuple[str, ...] = ()
    fails: ClusterctlError | None = None
    """What every call raises."""
    left: list[CloudResource] = field(default_factory=list)
    not_asked: tuple[NotAsked, ...] = ()
    short: tuple[Quota, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    machines: dict[str, CloudInstance] = field(default_factory=dict)
    resized: list[tuple[str, int]] = field(default_factory=list)

    def identity(self) -> str:
        self._admit()
        return "123456789012"

    def regions(self) -> Sequence[str]:
        return ("us-east-1", "us-west-2")

    def resources(self, regions: Sequence[str] | None, owner: str | None) -> Found:
        self._admit()
        return Found(resources=tuple(self.left), not_asked=self.not_asked)

    def remove(self, resource: CloudResource) -> None:
        self.left.remove(resource)

    def instances(self, fleet: FleetOutputs) -> Sequence[CloudInstance]:
        self._admit()
        for pool, size in self.sizes.items():  # a group replaces what it has lost
            live = sum(machine.pool == pool and machine.until is None for machine in self.machines.values())
            for _ in range(size - live if pool not in self.no_capacity else 0):
                self.launch(pool)
        return list(self.machines.values())

    def resize(self, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
        self._admit()
        self.resized.append((pool.name, nodes))
        self.sizes[pool.name] = nodes
        live = [machine for machine in self.machines.values() if machine.pool == pool.name and machine.until is None]
        for machine in live[nodes:]:
            self.end(machine.id)
        for _ in range(nodes - len(live) if pool.name not in self.no_capacity else 0):
            self.launch(pool.name, spot=pool.capacity_type == "spot")

    def pool_problem(self, fleet: FleetOutputs, pool: FleetPool) -> str:
        self._admit()
        live = sum(machine.pool == pool.name and machine.until is None for machine in self.machines.values())
        short = live < self.sizes.get(pool.name, 0) and pool.name in self.no_capacity
        return f"InsufficientInstanceCapacity: no {pool.instance_type} in {fleet.region}" if short else ""

    def quotas(self, plan: Plan) -> Sequence[Quota]:
        return self.short

    def launch(self, pool: str, *, spot: bool = False) -> str:
        name = f"i-{len(self.machines) + 1}"
        self.machines[name] = CloudInstance(id=name, pool=pool, since=self.now, spot=spot)
        return name

    def end(self, name: str, why: str = "") -> None:
        old = self.machines[name]
        self.machines[name] = CloudInstance(
            id=name, pool=old.pool, since=old.since, until=self.now, spot=old.spot, message=why
        )

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def seconds(self) -> float:
        """Its clock."""
        return self.now.timestamp()

    def paid_seconds(self) -> float:
        """By its own meter."""
        return sum(((m.until or self.now) - m.since).total_seconds() for m in self.machines.values())

    def _admit(self) -> None:
        if self.fails is not None:
            raise self.fails


STEPS = (
    FleetStep(op="create", urn="a", type="aws:ec2/vpc:Vpc", name="rl-1", usd_per_hour=0.0),
    FleetStep(op="create", urn="b", type="aws:ec2/natGateway:NatGateway", name="out", usd_per_hour=0.045),
    FleetStep(op="create", urn="c", type="aws:eks/cluster:Cluster", name="rl-1", usd_per_hour=0.1),
    FleetStep(op="create", urn="d", type="aws:eks/nodeGroup:NodeGroup", name="system", usd_per_hour=0.096),
)  # fmt: skip
"""Of a fleet: one is free."""


class Killed(BaseException):
    """`kill -9` of the command."""


@dataclass
class FakeFleets:
    """The fleets of a store."""

    made: dict[str, list[str]] = field(default_factory=dict)
    fails: BaseException | None = None
    """What stops the next change, after its second resource."""
    plans: list[Plan] = field(default_factory=list)
    """By which each was made or changed."""
    told: Callable[[], object] = lambda: None
    """Called after each resource."""
    now: Callable[[], datetime] = lambda: START
    written: dict[str, datetime] = field(default_factory=dict)
    """By run, when its state was written last; by run and URN, when the resource was made."""

    def __call__(self, store: Path, run_id: str) -> FakeStack:
        return FakeStack(self, run_id)


@dataclass
class FakeStack:
    """The fleet of one run."""

    fleets: FakeFleets
    run_id: str

    def preview(self, plan_file: Path, options: FleetOptions) -> FleetPreview:
        Plan.model_validate_json(plan_file.read_bytes())
        return FleetPreview(steps=STEPS)

    def up(self, plan_file: Path, options: FleetOptions, on_event: Callable[[FleetEvent], None]) -> FleetOutputs:
        assert options.nodes == "supervisor"
        self.fleets.plans.append(Plan.model_validate_json(plan_file.read_bytes()))
        there = self.fleets.made.setdefault(self.run_id, [])
        self._count(on_event)
        for step in STEPS:
            if step.urn not in there:
                on_event(FleetEvent(kind="started", op="create", type=step.type, name=step.name))
                there.append(step.urn)
                self.fleets.written |= dict.fromkeys((self.run_id, self.run_id + step.urn), self.fleets.now())
                self._may_fail(len(there))
                self.fleets.told()
                on_event(FleetEvent(kind="done", op="create", type=step.type, name=step.name, seconds=1.0))
        return FLEET

    def outputs(self) -> FleetOutputs | None:
        return FLEET if len(self.fleets.made.get(self.run_id, ())) == len(STEPS) else None

    def drift(self) -> FleetDrift:
        return FleetDrift(steps=())

    def destroy(self, on_event: Callable[[FleetEvent], None]) -> None:
        there = self.fleets.made.get(self.run_id, [])
        self._count(on_event)
        for step in reversed(STEPS):
            if step.urn in there:
                there.remove(step.urn)
                self.fleets.told()
                self.fleets.written[self.run_id] = self.fleets.now()
                if isinstance(self.fleets.fails, Killed):  # before it has heard of it
                    self._may_fail(len(there))
                on_event(FleetEvent(kind="done", op="delete", type=step.type, name=step.name, seconds=1.0))
                self._may_fail(len(there))

    def _count(self, on_event: Callable[[FleetEvent], None]) -> None:
        """What the state holds, as it is told before a change."""
        there, written = self.fleets.made.get(self.run_id, []), self.fleets.written
        for step in STEPS:
            if step.urn in there:
                at = written[self.run_id + step.urn].isoformat()
                on_event(FleetEvent(kind="there", type=step.type, name=step.name, at=at))
        on_event(FleetEvent(kind="counted", at=written[self.run_id].isoformat() if self.run_id in written else ""))

    def _may_fail(self, number: int) -> None:
        if number == 2 and self.fleets.fails is not None:
            failure, self.fleets.fails = self.fleets.fails, None
            raise failure
