"""What a plan asks of a cloud: one cluster with its pools, in one region.  Plain values; nothing of Pulumi."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from planners.plan.value import Plan, Pool
from planners.tags import cloud_tags, tag_key

GPU_DISK_GIB, SANDBOX_DISK_GIB = 500, 200
"""Boot disks, as the plan prices them (planners/plan/cost_lines.py)."""
NAME_LETTERS = 40
"""Of a pool's name, which Google wants short; AKS takes 12 with its own rule (azure/agent_pools.py)."""
NAME_IN_CLUSTER_LETTERS = 63
"""Of a DNS label."""
POOL_LABEL, RUN_LABEL, SANDBOX_TAINT = (tag_key("kubernetes", name) for name in ("pool", "run", "sandbox"))
SYSTEM = {POOL_LABEL: "system"}
"""Labels of the node for what no pool of the plan runs."""
SUPERVISOR, JOBS = "clusterctl", "clusterctl-jobs"
"""Service accounts: of the run's supervisor, and of its pods, which alone may use the bucket."""
OLD_VERSION_DAYS, UNFINISHED_DAYS = 7, 2
"""What is overwritten or deleted in the bucket is kept for a week; uploads that were cut are removed."""


class PlanError(ValueError):
    """The plan can't be provisioned.  Its text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Nodes of one type, bought in one way."""

    name: str
    pool_ids: tuple[str, ...]
    """Of the plan's pools that it serves."""
    instance_type: str
    capacity_type: str
    """on_demand, spot, reserved_1y, reserved_3y, capacity_block or flex_start."""
    nodes: int
    """At the start."""
    most_nodes: int
    """The most that any stage of the plan needs at once."""
    gpu: str | None
    gpus_per_node: int
    disk_gib: int
    reservation: str = ""
    """Id of the capacity that was bought beforehand; empty = none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """What the user says beside the plan: the keys of Pulumi.yaml."""

    owner: str = "none"
    zone: str = ""
    nodes: Literal["plan", "supervisor"] = "plan"
    access_cidrs: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    cluster: str = ""
    bucket: str = ""
    reservations: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    token_command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.nodes not in {"plan", "supervisor"}:
            raise PlanError(f"clusterctl:nodes is {self.nodes!r}; it is plan or supervisor")
        if self.cluster and self.subnets:
            raise PlanError("clusterctl:cluster has its subnets already: leave clusterctl:subnets out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The pools of a plan and where they are."""

    run: str
    """Id of the run, which is the name of the stack."""
    cloud: str
    region: str
    pools: tuple[NodePool, ...]
    plan_id: str
    planned_on: date
    limit_usd: float | None
    labels: Mapping[str, str]
    settings: FleetSettings

    @property
    def supervised(self) -> bool:
        """Whether the run's supervisor, and not this program, decides how many nodes there are."""
        return self.settings.nodes == "supervisor"

    @property
    def gpu_pools(self) -> tuple[NodePool, ...]:
        """Those with GPUs; the others run sandboxes."""
        return tuple(pool for pool in self.pools if pool.gpu)

    @property
    def name_in_cluster(self) -> str:
        """Of the run's namespace, and of its classes.  One a run: a user's cluster may have several, and Google's
        rights are of a namespace's name, in whatever cluster it is."""
        name = re.sub(r"[^a-z0-9]+", "-", f"clusterctl-{self.run}".lower())
        return name[-NAME_IN_CLUSTER_LETTERS:].strip("-")

    def node_labels(self, pool: NodePool) -> dict[str, str]:
        """Of a pool's nodes in Kubernetes: SkyPilot looks for the GPU there."""
        kind = {"skypilot.co/accelerator": pool.gpu.lower()} if pool.gpu else {SANDBOX_TAINT: "only"}
        return {POOL_LABEL: pool.name, RUN_LABEL: self.run} | kind

    @property
    def tags(self) -> dict[str, str]:
        """On every resource, as the cloud wants them, so that it is found without any state."""
        budget = "none" if self.limit_usd is None else f"{self.limit_usd:g}"
        return self.lasting_tags | cloud_tags(self.cloud, {"plan-id": self.plan_id, "budget": budget})

    @property
    def lasting_tags(self) -> dict[str, str]:
        """Those that no edit of the plan changes: on what would be replaced with its tags, as nodes are on AWS and
        networks on Google Cloud."""
        tags = {"run": self.run, "owner": self.settings.owner, "team": self.labels.get("team", "none")}
        return cloud_tags(self.cloud, tags)

    def tags_of(self, pool: str) -> dict[str, str]:
        """On every machine of a pool."""
        return self.lasting_tags | cloud_tags(self.cloud, {"pool": pool})


def fleet_of(plan: Plan, *, run: str, settings: FleetSettings) -> Fleet:
    """The fleet of a plan.

    Raises PlanError where nothing of it is to be rented, where it is in several places, and where it buys a capacity
    block that nobody has named.
    """
    places = sorted({(pool.cloud, pool.region) for pool in plan.pools})
    if len(places) != 1:
        where = ", ".join(f"{cloud} {region}" for cloud, region in places) or "nowhere"
        raise PlanError(f"one cluster has one place, and the plan is in {where}: state fleet.regions, fleet.targets")
    ((cloud, region),) = places
    limit = plan.spec.get("limits", {}).get("usd")
    return Fleet(
        run=run,
        cloud=cloud,
        region=region,
        pools=tuple(_node_pools(plan, settings)),
        plan_id=plan.id,
        planned_on=plan.created_at.date(),
        limit_usd=None if limit is None else float(limit),
        labels=plan.spec.get("labels", {}),
        settings=settings,
    )


def _node_pools(plan: Plan, settings: FleetSettings) -> Iterable[NodePool]:
    """The plan's pools; for a supervisor also those of its other offers in this region, which cost nothing while they
    have no node."""
    supervised = settings.nodes == "supervisor"
    (place,) = {(pool.cloud, pool.region) for pool in plan.pools}
    fleets = [plan.pools]
    if supervised:
        fleets += [
            other.pools
            for other in (*plan.alternatives, *plan.elsewhere)
            if {(pool.cloud, pool.region) for pool in other.pools} == {place}
        ]
    by_name: dict[str, list[Sequence[Pool]]] = {}
    for fleet in fleets:
        for name in dict.fromkeys(pool_name(pool) for pool in fleet):
            by_name.setdefault(name, []).append([pool for pool in fleet if pool_name(pool) == name])
    own = {pool_name(pool) for pool in plan.pools}
    for name, found in by_name.items():
        first, most = found[0][0], max(_most_at_once(pools) for pools in found)
        reservation = settings.reservations.get(first.instance_type, "")
        if first.capacity_type == "capacity_block" and not reservation:
            if name not in own:
                continue
            key = f"clusterctl:reservations: {{{first.instance_type}: ID}}"
            raise PlanError(f"the plan buys {first.instance_type} as a capacity block: name the one you bought ({key})")
        yield NodePool(
            name=name,
            pool_ids=tuple(dict.fromkeys(pool.id for pools in found for pool in pools)),
            instance_type=first.instance_type,
            capacity_type=first.capacity_type,
            nodes=0 if supervised else most,
            most_nodes=most,
            gpu=first.gpu,
            gpus_per_node=first.gpus_per_node,
            disk_gib=GPU_DISK_GIB if first.gpu else SANDBOX_DISK_GIB,
            reservation=reservation,
        )


def _most_at_once(pools: Iterable[Pool]) -> int:
    """Stages run one after the other: a pool of nodes is as large as the stage that needs most."""
    by_stage: dict[str, int] = {}
    for pool in pools:
        by_stage[pool.stage] = by_stage.get(pool.stage, 0) + pool.nodes
    return max(by_stage.values())


def pool_name(pool: Pool) -> str:
    """What it is and how it is bought: `gpu-p5-48xlarge-spot`."""
    kind = "gpu" if pool.gpu else "sandbox"
    words = [kind, pool.instance_type, "" if pool.capacity_type == "on_demand" else pool.capacity_type]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(filter(None, words)).lower())[:NAME_LETTERS].strip("-")
