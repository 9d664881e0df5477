"""Pools of nodes: GPUs on InfiniBand, and sandboxes in virtual machines of their own."""

from __future__ import annotations

import hashlib
import re

import pulumi
from pulumi_azure_native import compute, containerservice, resources

from infra.azure.aks import AksCluster
from infra.azure.rights import azure_tags
from infra.azure.vnet import AzureNetwork
from infra.node_fleet import TAG_PREFIX, Fleet, NodePool

NAME_LETTERS = 12
"""Of an agent pool's name: small letters and digits."""


class GpuAgentPool(pulumi.ComponentResource):
    """Nodes with GPUs in one scale set, whose InfiniBand is one fabric."""

    def __init__(
        self,
        name: str,
        *,
        pool: NodePool,
        fleet: Fleet,
        group: resources.ResourceGroup,
        network: AzureNetwork,
        cluster: AksCluster,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:azure:GpuPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        near = compute.ProximityPlacementGroup(
            name, resource_group_name=group.name, location=fleet.region, tags=azure_tags(fleet), opts=child
        )
        agent_pool(
            name,
            pool=pool,
            fleet=fleet,
            group=group,
            network=network,
            cluster=cluster,
            options=child,
            proximity_placement_group_id=near.id if pool.nodes > 1 else None,
            os_sku=containerservice.OSSKU.UBUNTU,
            gpu_profile=containerservice.GPUProfileArgs(driver=containerservice.GPUDriver.INSTALL),
            node_taints=["nvidia.com/gpu=present:NoSchedule"],
        )
        self.register_outputs({})


class SandboxAgentPool(pulumi.ComponentResource):
    """Nodes that run untrusted programs, each pod in a virtual machine of Kata; nothing else is placed there."""

    def __init__(
        self,
        name: str,
        *,
        pool: NodePool,
        fleet: Fleet,
        group: resources.ResourceGroup,
        network: AzureNetwork,
        cluster: AksCluster,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:azure:SandboxPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        agent_pool(
            name,
            pool=pool,
            fleet=fleet,
            group=group,
            network=network,
            cluster=cluster,
            options=child,
            os_sku=containerservice.OSSKU.AZURE_LINUX,
            workload_runtime=containerservice.WorkloadRuntime.KATA_VM_ISOLATION,
            node_taints=[f"{TAG_PREFIX}/sandbox=only:NoSchedule"],
        )
        self.register_outputs({})


def agent_pool(
    name: str,
    *,
    pool: NodePool,
    fleet: Fleet,
    group: resources.ResourceGroup,
    network: AzureNetwork,
    cluster: AksCluster,
    options: pulumi.ResourceOptions,
    **more: object,
) -> containerservice.AgentPool:
    """The nodes of a pool, all or none of which are wanted: no autoscaler changes what the run pays."""
    is_spot = pool.capacity_type == "spot"
    return containerservice.AgentPool(
        name,
        agent_pool_name=agent_pool_name(name),
        resource_group_name=group.name,
        resource_name_=cluster.name,
        mode=containerservice.AgentPoolMode.USER,
        count=pool.nodes,
        vm_size=pool.instance_type,
        availability_zones=[fleet.zone] if fleet.zone else None,
        enable_encryption_at_host=True,
        enable_node_public_ip=False,
        os_disk_size_gb=pool.disk_gib,
        scale_set_priority=containerservice.ScaleSetPriority.SPOT
        if is_spot
        else containerservice.ScaleSetPriority.REGULAR,
        scale_set_eviction_policy=containerservice.ScaleSetEvictionPolicy.DELETE if is_spot else None,
        vnet_subnet_id=network.subnet_id,
        node_labels=pool.labels,
        tags=azure_tags(fleet),
        opts=options,
        **more,
    )


def agent_pool_name(name: str) -> str:
    """Twelve letters that no other pool has: `gpu1a2b3c4d5`."""
    kind = re.sub("[^a-z]", "", name.partition("-")[0])[:3]
    return kind + hashlib.sha256(name.encode()).hexdigest()[: NAME_LETTERS - len(kind)]
