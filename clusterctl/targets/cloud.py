"""A cloud as a target: a cluster of the run's own, whose pools its supervisor makes as large as each stage needs.

Pulumi makes everything but the nodes (docs/adr/0005-clouds.md).  In the cluster all is as on Kubernetes, except that
nodes are asked of the cloud first, and are billed by the cloud's own times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.clouds import cloud_of
from clusterctl.clouds.base import Cloud
from clusterctl.fleet.stack import FleetStack
from clusterctl.targets.base import Leftover, MachineRequest, Observed, Pace, RunRef
from clusterctl.targets.cloud_check import account_lines, check_account, require_programs
from clusterctl.targets.cloud_cluster import CloudCluster
from clusterctl.targets.cloud_home import FLEET, CloudHome, read_fleet
from clusterctl.targets.cloud_leftovers import left_in_cloud
from clusterctl.targets.cloud_machines import CloudMachines, by_id
from clusterctl.targets.cloud_nodes import NodeBook
from clusterctl.targets.cloud_pools import CloudPools
from clusterctl.targets.kubernetes import KubernetesTarget
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_check import node_of
from clusterctl.targets.kubernetes_manifests import POOL_LABEL
from clusterctl.targets.kubernetes_sandboxes import PodIsolation, pod_isolation
from clusterctl.targets.kubernetes_shell import image
from clusterctl.targets.places import recall, remember
from clusterctl.targets.slurm_access import in_place
from clusterctl.targets.slurm_run import SlurmRun
from planners.plan.value import Plan, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = "nodes.json"
AZURE_IDENTITY = {"azure.workload.identity/use": "true"}
"""AKS gives credentials to pods with this label alone: https://learn.microsoft.com/azure/aks/workload-identity-overview"""


class CloudTarget(KubernetesTarget):
    """One of aws, gcp and azure, for the run of one plan."""

    pace = Pace(observe_seconds=5.0, bound_seconds=10.0, appear_seconds=240.0)

    def __init__(
        self,
        store: Path,
        name: str,
        *,
        cloud: Cloud | None = None,
        api: Kubernetes | None = None,
        fleet_stack: Callable[[Path, str], FleetStack] = FleetStack,
    ) -> None:
        super().__init__(store, name, api=api)
        self.kind, self._given, self._fleet_stack = name, cloud, fleet_stack
        self._gone: set[str] = set()
        """Runs whose clusters were removed here."""
        self._machines: CloudMachines | None = None
        self._joined: dict[str, int] = {}
        """By pool of the cluster, its nodes that can take pods."""
        if not in_place():
            self.home = home = CloudHome(store, name, fleet_stack)
            self.cluster_maker = CloudCluster(store, home, fleet_stack)

    @cached_property
    def cloud(self) -> Cloud:
        """The account of whoever asks."""
        return self._given or cloud_of(self.kind)

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:
        """Refuses what no template can launch, and what the account can't have: one place, credentials, quotas."""
        self._check_jobs(plan)
        image()
        require_programs(self.store)
        region = check_account(self.cloud, plan, held)
        regions = {*recall(self.kind, self.store).split(), region}
        remember(self.kind, self.store, root=" ".join(sorted(regions)))

    def preview(self, plan: Plan, *, seconds: float | None) -> Sequence[str]:
        """Who pays, and what each pool may become."""
        return account_lines(self.cloud, plan, seconds)

    def apply(self, run: RunRef, machines: Sequence[MachineRequest], *, make: bool) -> None:
        """Makes each pool as large as these nodes need, and asks for pods once its nodes have joined the cluster."""
        if not in_place():
            return  # nothing of a run is made from elsewhere but its cluster
        pools, nodes = self._pools(run), self._nodes(run)
        nodes.want(machines)
        super().apply(run, machines, make=make)
        pools.resize({name: nodes.size(requests, make=make) for name, requests in pools.by_pool(machines).items()})

    def observe(self, run: RunRef) -> Observed:
        """Roles as on Kubernetes, machines as the cloud shows them."""
        if not in_place():
            return Observed(at=datetime.now(tz=UTC))
        seen = super().observe(run)
        pools, nodes = self._pools(run), self._nodes(run)
        instances = pools.look()
        wanted = [nodes.requests[name] for name in nodes.wanted]
        by_pool = pools.by_pool(wanted)
        # Google and Azure show no machine that has ended: it is billed until the last listing that had it.
        listed_at = seen.at - timedelta(seconds=pools.listing_age_seconds())
        nodes.book.look(by_pool, instances, listed_at)
        pods = by_id(seen.machines)
        for name, requests in by_pool.items():
            nodes.refuse(requests, pools.problem(name))
        for request in wanted:
            if pools.of(request.pool) is None:
                where = f"{request.pool.instance_type} {request.pool.capacity_type} in {request.pool.region}"
                nodes.refuse([request], f"the run's cluster has no pool of {where}")
        nodes.break_gangs(pods, seen.at)
        self._joined = {n: self._ready_nodes(n, rows[0].pool.gpus_per_node) for n, rows in by_pool.items()}
        shown = tuple(nodes.shown(pods, self._missing(by_pool, nodes)))
        return Observed(at=seen.at, instances=seen.instances, machines=shown)

    def find(self, run: RunRef, resource_id: str) -> bool:
        """From elsewhere nothing is looked up: what is not seen is asked for again."""
        return in_place() and super().find(run, resource_id)

    def fetch(self, run: RunRef) -> None:
        """From elsewhere its home brings it."""
        if in_place():
            super().fetch(run)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """In the cloud, by tag.  Raises Unreachable where a place can't be asked: what is left there nobody knows."""
        return left_in_cloud(self.cloud, recall(self.kind, self.store).split(), live_runs, known_runs)

    def remove(self, leftover: Leftover) -> None:
        """With the whole cluster of its run, in the order in which that can go.  Raises FleetError."""
        if leftover.run_id not in self._gone:
            self._fleet_stack(self.store, leftover.run_id).destroy(lambda _: None)
            self._gone.add(leftover.run_id)

    def node_selector(self, pool: Pool) -> Mapping[str, str]:
        """Pods of a pool run on its own nodes."""
        here = self._cluster_pools.of(pool) if self._cluster_pools is not None else None
        return {POOL_LABEL: here.name} if here is not None else {}

    def launch_task(self, run: RunRef, state: SlurmRun, name: str) -> dict[str, Any]:
        """Its pods may use the run's bucket, and nothing else."""
        task = super().launch_task(run, state, name)
        asked = task["config"]["kubernetes"]
        asked["remote_identity"] = read_fleet(run.folder / FLEET).service_account
        asked["custom_metadata"]["labels"] |= AZURE_IDENTITY if self.kind == "azure" else {}
        return task

    @cached_property
    def _isolation(self) -> PodIsolation:
        """The program has made a runtime class, which brings sandboxes to their nodes."""
        named = self._cluster_pools.fleet.runtime_class if self._cluster_pools is not None else ""
        return PodIsolation(kind="gvisor", runtime_class=named) if named else pod_isolation(self.api)

    def _make(self, run: RunRef, state: SlurmRun, name: str) -> None:
        """Pods are asked for once all nodes are there: SkyPilot refuses GPUs that no node has."""
        pools, nodes = self._pools(run), self._nodes(run)
        here = pools.of(state.requests[name][0].pool)
        if here is None:
            return
        wanted = pools.by_pool([nodes.requests[each] for each in nodes.wanted]).get(here.name, [])
        if (
            len(nodes.book.live(request.resource_id for request in wanted))
            == len(wanted)
            <= self._joined.get(here.name, 0)
        ):
            super()._make(run, state, name)

    def _ready_nodes(self, pool: str, gpus: int) -> int:
        """Nodes of a pool that Kubernetes calls ready, with all GPUs that they should have.  Raises Unreachable."""
        nodes = self.api.pages("/api/v1/nodes", labelSelector=f"{POOL_LABEL}={pool}")
        return sum(
            any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
            and not node["spec"].get("unschedulable", False)
            and node_of(node).gpus >= gpus
            for node in nodes
        )

    def _missing(self, by_pool: Mapping[str, Sequence[MachineRequest]], nodes: CloudMachines) -> dict[str, str]:
        """By pool of the plan, how far the cloud is with its nodes."""
        found = {}
        for name, requests in by_pool.items():
            there = len(nodes.book.live(request.resource_id for request in requests))
            for request in requests:
                found[request.pool.id] = f"{there} of {len(requests)} nodes of {name} are there"
        return found

    def _nodes(self, run: RunRef) -> CloudMachines:
        if self._machines is None:
            self._machines = CloudMachines(book=NodeBook(run.folder / NODES))
        return self._machines

    def _pools(self, run: RunRef) -> CloudPools:
        """Read anew where the run's plan is another: the cluster may have other pools.

        Raises StateError where nobody has said which cluster the run has.
        """
        if self._cluster_pools is None or self._pools_of != run.plan.id:
            self._cluster_pools, self._pools_of = CloudPools(self.cloud, read_fleet(run.folder / FLEET)), run.plan.id
            self.__dict__.pop("_isolation", None)
        return self._cluster_pools

    _cluster_pools: CloudPools | None = None
    _pools_of = ""
