"""What a plan asks of a cloud: one cluster with its pools, in one region.  Plain values; nothing of Pulumi."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from planners.plan.value import Plan, Pool

TAG_PREFIX = "clusterctl.dev"
"""Of the tags by which `clusterctl` finds what is ours; labels of Google Cloud may hold neither dot nor slash."""
GPU_DISK_GIB, SANDBOX_DISK_GIB = 500, 200
"""Boot disks, as the plan prices them (planners/plan/cost_lines.py)."""
NAME_LETTERS = 40
"""Of a pool's name, which Google wants short; AKS takes 12 with its own rule (azure/pools.py)."""
SYSTEM = {f"{TAG_PREFIX}/pool": "system"}
"""Labels of the node for what no pool of the plan runs."""
NAMESPACE, SERVICE_ACCOUNT = "clusterctl", "clusterctl-jobs"
"""Whose pods may use the bucket."""
OLD_VERSION_DAYS, UNFINISHED_DAYS = 7, 2
"""What is overwritten or deleted in the bucket is kept for a week; uploads that were cut are removed."""


class PlanError(ValueError):
    """The plan can't be provisioned.  Its text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Nodes of one type, bought in one way: the most that any stage of the plan needs at once."""

    name: str
    instance_type: str
    capacity_type: str
    """on_demand, spot, reserved_1y, reserved_3y or capacity_block."""
    nodes: int
    gpu: str | None
    gpus_per_node: int
    disk_gib: int
    usd_per_node_hour: float | None
    """None = unknown."""

    @property
    def labels(self) -> dict[str, str]:
        """Of its nodes in Kubernetes: SkyPilot looks for the GPU there."""
        return {f"{TAG_PREFIX}/pool": self.name} | ({"skypilot.co/accelerator": self.gpu.lower()} if self.gpu else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The pools of a plan and where they are."""

    run: str
    """Id of the run, which is the name of the stack."""
    owner: str
    cloud: str
    region: str
    zone: str
    """Of the GPU nodes; empty = the first of the region."""
    pools: tuple[NodePool, ...]
    plan_id: str
    planned_on: date
    limit_usd: float | None
    labels: Mapping[str, str]
    access_cidrs: tuple[str, ...] = ()
    """Who may reach the cluster's API from outside of its network: nobody, unless somebody is named."""

    @property
    def gpu_pools(self) -> tuple[NodePool, ...]:
        """Those with GPUs."""
        return tuple(pool for pool in self.pools if pool.gpu)

    @property
    def sandbox_pools(self) -> tuple[NodePool, ...]:
        """Those without."""
        return tuple(pool for pool in self.pools if not pool.gpu)

    @property
    def tags(self) -> dict[str, str]:
        """On every resource, so that it is found without any state."""
        budget = "none" if self.limit_usd is None else f"{self.limit_usd:g}"
        own = {"run": self.run, "owner": self.owner, "plan-id": self.plan_id, "budget": budget}
        team = self.labels.get("team", "none")
        return {f"{TAG_PREFIX}/{name}": value for name, value in (own | {"team": team}).items()}


def fleet_of(
    plan: Plan, *, run: str, owner: str, zone: str = "", empty: bool = False, access_cidrs: Sequence[str] = ()
) -> Fleet:
    """The fleet of a plan.  empty: its pools, without a node.

    Raises PlanError where nothing of it is to be rented, or where it is in several places.
    """
    places = sorted({(pool.cloud, pool.region) for pool in plan.pools})
    if len(places) != 1:
        where = ", ".join(f"{cloud} {region}" for cloud, region in places) or "nowhere"
        raise PlanError(f"one cluster has one place, and the plan is in {where}: state fleet.regions, fleet.targets")
    ((cloud, region),) = places
    limit = plan.spec.get("limits", {}).get("usd")
    return Fleet(
        run=run,
        owner=owner,
        cloud=cloud,
        region=region,
        zone=zone,
        pools=tuple(_node_pools(plan.pools, empty=empty)),
        plan_id=plan.id,
        planned_on=plan.created_at.date(),
        limit_usd=None if limit is None else float(limit),
        labels=plan.spec.get("labels", {}),
        access_cidrs=tuple(access_cidrs),
    )


def _node_pools(pools: Iterable[Pool], *, empty: bool) -> Iterable[NodePool]:
    """Stages run one after the other: a pool of nodes is as large as the stage that needs most."""
    needed: dict[tuple[str, str, str | None], dict[str, int]] = {}
    first: dict[tuple[str, str, str | None], Pool] = {}
    for pool in pools:
        kind = (pool.instance_type, pool.capacity_type, pool.gpu)
        first.setdefault(kind, pool)
        stages = needed.setdefault(kind, {})
        stages[pool.stage] = stages.get(pool.stage, 0) + pool.nodes
    for kind, pool in first.items():
        yield NodePool(
            name=pool_name(pool),
            instance_type=pool.instance_type,
            capacity_type=pool.capacity_type,
            nodes=0 if empty else max(needed[kind].values()),
            gpu=pool.gpu,
            gpus_per_node=pool.gpus_per_node,
            disk_gib=GPU_DISK_GIB if pool.gpu else SANDBOX_DISK_GIB,
            usd_per_node_hour=pool.usd_per_node_hour,
        )


def pool_name(pool: Pool) -> str:
    """What it is and how it is bought: `gpu-p5-48xlarge-spot`."""
    kind = "gpu" if pool.gpu else "sandbox"
    words = [kind, pool.instance_type, "" if pool.capacity_type == "on_demand" else pool.capacity_type]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(filter(None, words)).lower())[:NAME_LETTERS].strip("-")
