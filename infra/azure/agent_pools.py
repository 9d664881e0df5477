"""Pools of nodes: GPUs on InfiniBand, and sandboxes in virtual machines of their own."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pulumi
from pulumi_azure_native import compute, containerservice, resources

from infra.azure.aks import Aks
from infra.node_fleet import SANDBOX_TAINT, Fleet, NodePool

NAME_LETTERS = 12
"""Of an agent pool's name: small letters and digits."""
SANDBOX_CONFIG: dict[str, Any] = {
    "os_sku": containerservice.OSSKU.AZURE_LINUX,
    "workload_runtime": containerservice.WorkloadRuntime.KATA_VM_ISOLATION,
    "node_taints": [f"{SANDBOX_TAINT}=only:NoSchedule"],
}
GPU_CONFIG: dict[str, Any] = {
    "os_sku": containerservice.OSSKU.UBUNTU,
    "gpu_profile": containerservice.GPUProfileArgs(driver=containerservice.GPUDriver.INSTALL),
    "node_taints": ["nvidia.com/gpu=present:NoSchedule"],
}


class AgentPool(pulumi.ComponentResource):
    """A pool: nodes with GPUs in one scale set, whose InfiniBand is one fabric; or nodes that run untrusted programs,
    each pod in a virtual machine of Kata, where nothing else is placed."""

    def __init__(
        self, pool: NodePool, *, fleet: Fleet, group: resources.ResourceGroup, aks: Aks, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(f"clusterctl:azure:{'GpuPool' if pool.gpu else 'SandboxPool'}", pool.name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        config = dict(GPU_CONFIG if pool.gpu else SANDBOX_CONFIG)
        if pool.gpu and pool.most_nodes > 1:
            near = compute.ProximityPlacementGroup(
                pool.name, resource_group_name=group.name, location=fleet.region, tags=fleet.tags, opts=child
            )
            config["proximity_placement_group_id"] = near.id
        made = agent_pool(pool, fleet, aks, child, **config)
        self.id, self.group = made.id, made.name
        self.register_outputs({"group": self.group})


def agent_pool(
    pool: NodePool, fleet: Fleet, aks: Aks, options: pulumi.ResourceOptions, **config: Any
) -> containerservice.AgentPool:
    """The nodes of a pool.  No autoscaler changes what the run pays: this program does, or the supervisor."""
    is_spot, zone = pool.capacity_type == "spot", fleet.settings.zone
    priority = containerservice.ScaleSetPriority
    by_others = pulumi.ResourceOptions(ignore_changes=["count"] if fleet.supervised else [])
    return containerservice.AgentPool(
        pool.name,
        agent_pool_name=agent_pool_name(pool.name, fleet.run),
        resource_group_name=aks.group,
        resource_name_=aks.name,
        mode=containerservice.AgentPoolMode.USER,
        count=pool.nodes,
        vm_size=pool.instance_type,
        availability_zones=[zone] if zone else None,
        capacity_reservation_group_id=pool.reservation or None,
        enable_encryption_at_host=True,
        enable_node_public_ip=False,
        os_disk_size_gb=pool.disk_gib,
        scale_set_priority=priority.SPOT if is_spot else priority.REGULAR,
        scale_set_eviction_policy=containerservice.ScaleSetEvictionPolicy.DELETE if is_spot else None,
        vnet_subnet_id=aks.subnet_id,
        node_labels=fleet.node_labels(pool),
        tags=fleet.tags | fleet.tags_of(pool.name),
        opts=pulumi.ResourceOptions.merge(options, by_others),
        **config,
    )


def agent_pool_name(name: str, run: str) -> str:
    """Twelve letters that no other pool of the cluster has: `gpu1a2b3c4d5`."""
    kind = re.sub("[^a-z]", "", name.partition("-")[0])[:3]
    return kind + hashlib.sha256(f"{run} {name}".encode()).hexdigest()[: NAME_LETTERS - len(kind)]
