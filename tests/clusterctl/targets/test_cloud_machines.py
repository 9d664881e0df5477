"""Nodes in a cloud: asked for, billed by the cloud's own times, refused, lost, given back as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fake_cloud import CPU, FLEET, GPU, START, FakeCloud

from clusterctl.clouds.base import CloudError, CloudUnreachable
from clusterctl.targets.base import Machine, MachineRequest, Unreachable
from clusterctl.targets.cloud_machines import CloudMachines
from clusterctl.targets.cloud_nodes import NodeBook
from clusterctl.targets.cloud_pools import CloudPools
from clusterctl.targets.cloud_sizes import rented_size
from planners.plan.value import Pool
from planners.runs.reconcile import Cause, InstancePhase

QUEUED, STARTING, READY = InstancePhase.QUEUED, InstancePhase.STARTING, InstancePhase.READY
ENDING, ENDED = InstancePhase.ENDING, InstancePhase.ENDED


def pool(instance_type: str = "p5.48xlarge", capacity: str = "on_demand", region: str = "us-east-1") -> Pool:
    role = "trainer" if instance_type.startswith("p5") else "sandbox"
    return Pool(
        id=f"pool.rl.{role}",
        stage="rl",
        role=role,
        cloud="aws",
        region=region,
        instance_type=instance_type,
        capacity_type=capacity,
        nodes=2,
        usd_per_node_hour=55.04,
        price_as_of=None,
        price_source="",
        hours=1.0,
        usd=None,
    )


class World:
    """A run's nodes, the cloud, and what Kubernetes says of pods."""

    def __init__(self, folder: Path) -> None:
        self.cloud, self.file = FakeCloud(), folder / "nodes.json"
        self.pods: dict[str, Machine] = {}
        self.restart()

    def restart(self) -> None:
        """Another supervisor."""
        self.nodes = CloudMachines(book=NodeBook(self.file))
        self.pools = CloudPools(self.cloud, FLEET, clock=self.cloud.seconds)

    def tick(
        self, requests: Sequence[MachineRequest], *, make: bool = True, seconds: float = 10.0
    ) -> dict[str, Machine]:
        """As a watcher does: asks, then looks; a while later."""
        self.nodes.want(requests)
        by_pool = self.pools.by_pool(requests)
        self.pools.resize({name: self.nodes.size(some, make=make) for name, some in by_pool.items()})
        now = self.cloud.later(seconds)
        self.nodes.book.look(by_pool, self.pools.look(), now)
        for name, some in by_pool.items():
            self.nodes.refuse(some, self.pools.problem(name))
        self.nodes.break_gangs(self.pods, now)
        return {machine.resource_id: machine for machine in self.nodes.shown(self.pods, {"pool.rl.trainer": "0 of 2"})}

    def pod(self, name: str, phase: InstancePhase, cause: Cause = Cause.NONE) -> None:
        self.pods[name] = Machine(resource_id=name, phase=phase, cause=cause, since=self.cloud.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asked(number: int = 1, count: int = 2, of: Pool | None = None, since: datetime = START) -> list[MachineRequest]:
    of = of or pool()
    slots = [of.id if index == 0 else f"{of.id}-{index + 1}" for index in range(count)]
    return [
        MachineRequest(resource_id=f"rl-1/{slot}/{number}", pool=of, index=index, since=since)
        for index, slot in enumerate(slots)
    ]


def phases(shown: Mapping[str, Machine]) -> set[InstancePhase]:
    return {machine.phase for machine in shown.values()}


def test_nodes_are_paid_from_launch_to_end_by_the_clouds_own_times(world: World) -> None:
    shown = world.tick(asked())
    assert [m.since for m in shown.values()] == [START, START], "not from when they were first seen"
    assert (phases(shown), {m.address for m in shown.values()}) == ({STARTING}, {"i-1", "i-2"})
    for request in asked():
        world.pod(request.resource_id, READY)
    assert phases(world.tick(asked())) == {READY}
    world.restart()
    assert {m.address for m in world.tick(asked()).values()} == {"i-1", "i-2"}, "the same after a crash"
    ended = world.cloud.now
    shown = world.tick([], make=False)
    assert (phases(shown), {m.cause for m in shown.values()}) == ({ENDED}, {Cause.STOPPED})
    assert {m.until for m in shown.values()} == {ended}, "when the cloud has ended them, and not when that was seen"
    assert (
        sum((m.until - m.since).total_seconds() for m in shown.values() if m.until and m.since)
        == world.cloud.paid_seconds()
    )
    assert world.cloud.sizes == {GPU: 0, f"{GPU}-spot": 0, CPU: 0}


def test_a_node_that_is_given_back_is_paid_until_the_cloud_has_ended_it(world: World) -> None:
    world.tick(asked())
    world.cloud.end = lambda name, why="": None  # type: ignore[method-assign]  # it takes its time
    shown = world.tick([], make=False)
    assert (phases(shown), {m.until for m in shown.values()}) == ({ENDING}, {None})


def test_no_capacity_is_said_once_nothing_of_the_pool_is_paid(world: World) -> None:
    world.cloud.launch(GPU)  # one of two comes
    world.cloud.no_capacity = (GPU,)
    shown = world.tick(asked())
    assert {m.phase for m in shown.values()} == {STARTING, QUEUED}
    assert "0 of 2" in {m.message for m in shown.values()}
    shown = world.tick(asked(), seconds=60)
    assert {m.phase for m in shown.values()} == {ENDING, QUEUED}, "what has come is given back first"
    shown = world.tick(asked())
    assert (phases(shown), {m.cause for m in shown.values()}) == ({ENDED}, {Cause.NO_CAPACITY})
    assert {m.message for m in shown.values()} == {"InsufficientInstanceCapacity: no p5.48xlarge in us-east-1"}
    assert world.cloud.sizes[GPU] == 0
    world.tick([], make=False)
    spot = asked(2, of=pool(capacity="spot"))
    assert phases({r.resource_id: world.tick(spot)[r.resource_id] for r in spot}) == {STARTING}, "the next offer is had"
    world.cloud.no_capacity = ()
    again = asked(3)
    assert {world.tick(again)[r.resource_id].phase for r in again} == {STARTING}, "a refusal is not for ever"


def test_where_a_node_is_lost_its_pool_starts_anew_and_nothing_is_paid_twice(world: World) -> None:
    world.tick(asked())
    lost = world.cloud.later(30)
    world.cloud.end("i-2", "Server.SpotInstanceTermination")
    shown = world.tick(asked())
    assert (phases(shown), {m.cause for m in shown.values()}) == ({ENDED}, {Cause.NODE_LOST})
    assert {m.address: m.until for m in shown.values()}["i-2"] == lost
    gave_up = {m.address: m.until for m in shown.values()}["i-1"]
    following = asked(2, since=world.cloud.now)
    shown = world.tick(following)
    anew = {r.resource_id: shown[r.resource_id] for r in following}
    assert {m.address for m in anew.values()} == {"i-1", "i-3"}
    assert {m.address: m.since for m in anew.values()}["i-1"] == gave_up
    world.tick([], make=False)
    shown = world.tick([], make=False)
    paid = sum((m.until - m.since).total_seconds() for m in shown.values() if m.until and m.since)
    assert paid == world.cloud.paid_seconds()


def test_a_spot_node_that_is_taken_back_is_preempted(world: World) -> None:
    spot = asked(count=1, of=pool(capacity="spot"))
    world.tick(spot)
    world.cloud.end("i-1", "taken back")
    (machine,) = world.tick(spot).values()
    assert (machine.phase, machine.cause, machine.message) == (ENDED, Cause.PREEMPTED, "taken back")


def test_pods_that_end_give_their_nodes_to_those_that_follow(world: World) -> None:
    world.tick(asked())
    for request in asked():
        world.pod(request.resource_id, ENDED, Cause.FAILED)
    assert phases(world.tick(asked())) == {ENDED}
    shown = world.tick(asked(2, since=world.cloud.now))
    assert {m.address for name, m in shown.items() if name.endswith("/2")} == {"i-1", "i-2"}
    assert len(world.cloud.machines) == 2, "no new ones"


def test_what_skypilot_can_not_prepare_is_given_back_and_counts_as_no_capacity(world: World) -> None:
    world.tick(asked())
    for request in asked():
        world.pod(request.resource_id, ENDED, Cause.NO_CAPACITY)
    assert phases(world.tick(asked())) == {ENDING}
    shown = world.tick(asked())
    assert {m.cause for m in shown.values()} == {Cause.NO_CAPACITY}
    assert world.cloud.sizes[GPU] == 0


def test_a_launcher_that_fails_says_nothing_of_capacity_and_the_nodes_stay_for_those_that_follow(world: World) -> None:
    world.tick(asked())
    for request in asked():
        world.pod(request.resource_id, ENDED, Cause.LAUNCHER)
    shown = world.tick(asked())
    assert {(m.phase, m.cause) for m in shown.values()} == {(ENDED, Cause.LAUNCHER)}
    shown = world.tick(asked(2, since=world.cloud.now))
    assert {m.address for name, m in shown.items() if name.endswith("/2")} == {"i-1", "i-2"}


def test_a_listing_that_lags_is_not_the_end_of_a_machine(world: World) -> None:
    world.tick(asked())
    seen, kept = world.cloud.now, dict(world.cloud.machines)
    world.cloud.machines.clear()
    world.cloud.sizes, world.cloud.no_capacity = {}, (GPU,)
    assert phases(world.tick(asked())) == {STARTING}
    world.cloud.machines = kept
    assert phases(world.tick(asked())) == {STARTING}
    world.cloud.machines = {}
    shown = world.tick(asked(), seconds=120)
    assert phases(shown) == {ENDED}
    assert {m.until for m in shown.values()} == {seen + timedelta(seconds=20)}, "when it was last seen"


def test_an_offer_in_another_region_is_none_of_this_cluster(world: World) -> None:
    assert world.pools.of(pool(region="us-west-2")) is None
    assert world.pools.by_pool(asked(of=pool(region="us-west-2"))) == {}


def test_while_the_cloud_is_away_nobody_knows(world: World) -> None:
    world.tick(asked())
    world.cloud.fails = CloudUnreachable("aws does not answer", hint="again")
    with pytest.raises(Unreachable, match="aws does not answer"):
        world.tick(asked())


def test_a_size_that_the_cloud_refuses_is_no_capacity_and_a_refused_release_is_never_passed_over(world: World) -> None:
    refusal = CloudError("VcpuLimitExceeded: you have requested more vCPU capacity than your current limit")

    def refuse(*_: object) -> None:
        raise refusal

    resize, world.cloud.resize = world.cloud.resize, refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(Unreachable, match="VcpuLimitExceeded"):
        world.pools.resize({GPU: 2})  # the others can't be made empty
    world.cloud.resize = resize  # type: ignore[method-assign]
    world.pools.resize({})
    world.cloud.resize = lambda f, p, n: refuse() if n else resize(f, p, n)  # type: ignore[method-assign]
    shown = world.tick(asked())
    assert {m.cause for m in shown.values()} == {Cause.NO_CAPACITY}
    assert "VcpuLimitExceeded" in next(iter(shown.values())).message


def test_the_same_size_is_not_asked_for_at_every_tick(world: World) -> None:
    for _ in range(3):
        world.tick(asked(), seconds=1)
    assert world.cloud.resized.count((GPU, 2)) == 1
    world.tick(asked(), seconds=120)
    world.tick(asked())
    assert world.cloud.resized.count((GPU, 2)) == 2, "somebody else may have changed it"


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (2, 2)])
def test_nodes_of_another_plan_take_over_machines_that_live(world: World, before: int, after: int) -> None:
    world.tick(asked(1, before))
    world.tick(asked(1, before))
    world.restart()
    shown = world.tick(asked(2, after))
    shown = world.tick(asked(2, after))
    assert len(world.cloud.machines) == max(before, after), "none is rented twice"
    old, new = ([shown[r.resource_id] for r in asked(n, count)] for n, count in ((1, before), (2, after)))
    assert {machine.cause for machine in old} == {Cause.STOPPED}
    assert phases({m.resource_id: m for m in new}) == {STARTING}
    handed = [(m.until, n.since) for m, n in zip(old, new, strict=False)]
    assert all(until == since for until, since in handed), "paid on without a gap, and not twice"


def test_pods_ask_for_a_little_less_than_a_rented_machine_has() -> None:
    assert rented_size("aws", "p5.48xlarge") == (190.0, 1843.2)
    assert rented_size("aws", "c6i.32xlarge") == (126.0, pytest.approx(230.4))
    assert rented_size("aws", "nothing") is None
