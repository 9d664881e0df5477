"""Pools of nodes: GPUs side by side on a fast network, and sandboxes under gVisor."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gke import GkeCluster, node_defaults
from infra.node_fleet import TAG_PREFIX, Fleet, NodePool

ACCELERATORS = {
    "a2-highgpu": "nvidia-tesla-a100",
    "a2-ultragpu": "nvidia-a100-80gb",
    "a3-highgpu": "nvidia-h100-80gb",
    "a3-megagpu": "nvidia-h100-mega-80gb",
    "a3-ultragpu": "nvidia-h200-141gb",
    "a4-highgpu": "nvidia-b200",
    "g2-standard": "nvidia-l4",
}
"""By machine family: https://cloud.google.com/kubernetes-engine/docs/concepts/gpus"""
GPU_NETWORKS = {"a3-highgpu-8g": 4, "a3-megagpu-8g": 8}
"""More networks for GPUDirect-TCPX and -TCPXO, one a card:
https://cloud.google.com/kubernetes-engine/docs/how-to/gpu-bandwidth-gpudirect-tcpx"""
RDMA_SUBNETS = {"a3-ultragpu-8g": 8, "a4-highgpu-8g": 8}
"""Subnets of one RoCE network, one a card:
https://cloud.google.com/ai-hypercomputer/docs/create/gke-ai-hypercompute-custom"""
JUMBO_BYTES, RDMA_BYTES = 8244, 8896


class GpuNodePool(pulumi.ComponentResource):
    """Nodes with GPUs, placed close together, with a network for each card."""

    def __init__(
        self,
        name: str,
        *,
        pool: NodePool,
        fleet: Fleet,
        project: pulumi.Output[gcp.organizations.GetProjectResult],
        cluster: GkeCluster,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:gcp:GpuPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        networks = gpu_networks(name, pool=pool, fleet=fleet, project=project, cluster=cluster, options=child)
        family = pool.instance_type.rpartition("-")[0]
        node_pool(
            name,
            pool=pool,
            cluster=cluster,
            options=child,
            gvnic=gcp.container.NodePoolNodeConfigGvnicArgs(enabled=True),
            guest_accelerators=[
                gcp.container.NodePoolNodeConfigGuestAcceleratorArgs(
                    type=ACCELERATORS.get(family, f"nvidia-{(pool.gpu or '').lower()}"),
                    count=pool.gpus_per_node,
                    gpu_driver_installation_config=gcp.container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                        gpu_driver_version="LATEST"
                    ),
                )
            ],
            network_config=gcp.container.NodePoolNetworkConfigArgs(
                enable_private_nodes=True, additional_node_network_configs=networks
            )
            if networks
            else None,
            placement_policy=gcp.container.NodePoolPlacementPolicyArgs(type="COMPACT") if pool.nodes > 1 else None,
        )
        self.register_outputs({})


class SandboxNodePool(pulumi.ComponentResource):
    """Nodes that run untrusted programs, each pod with a kernel of gVisor; nothing else is placed there."""

    def __init__(self, name: str, *, pool: NodePool, cluster: GkeCluster, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:gcp:SandboxPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        node_pool(
            name,
            pool=pool,
            cluster=cluster,
            options=child,
            image_type="COS_CONTAINERD",
            sandbox_config=gcp.container.NodePoolNodeConfigSandboxConfigArgs(sandbox_type="gvisor"),
            gcfs_config=gcp.container.NodePoolNodeConfigGcfsConfigArgs(enabled=True),  # images are streamed
        )
        self.register_outputs({})


def gpu_networks(
    name: str,
    *,
    pool: NodePool,
    fleet: Fleet,
    project: pulumi.Output[gcp.organizations.GetProjectResult],
    cluster: GkeCluster,
    options: pulumi.ResourceOptions,
) -> list[gcp.container.NodePoolNetworkConfigAdditionalNodeNetworkConfigArgs]:
    """What the cards of a node are plugged into; nothing leads from there to anywhere else."""
    made = []
    num_rdma = RDMA_SUBNETS.get(pool.instance_type, 0)
    alone = 1 if num_rdma else GPU_NETWORKS.get(pool.instance_type, 0)
    for number in range(alone):
        network = gcp.compute.Network(
            f"{name}-{number}", auto_create_subnetworks=False, mtu=RDMA_BYTES if num_rdma else JUMBO_BYTES, opts=options
        )
        made.append((network, f"{name}-{number}", f"192.168.{number}.0/24"))
    if num_rdma:
        profile = pulumi.Output.format(
            "projects/{0}/global/networkProfiles/{1}-vpc-roce", project.project_id, cluster.zone
        )
        fabric = gcp.compute.Network(
            f"{name}-rdma", auto_create_subnetworks=False, mtu=RDMA_BYTES, network_profile=profile, opts=options
        )
        made += [(fabric, f"{name}-rdma-{number}", f"192.168.{64 + number}.0/24") for number in range(num_rdma)]
    configs = []
    for network, called, cidr in made:
        subnet = gcp.compute.Subnetwork(
            called, network=network.id, region=fleet.region, ip_cidr_range=cidr, opts=options
        )
        if not called.startswith(f"{name}-rdma"):
            gcp.compute.Firewall(
                called,
                network=network.id,
                direction="INGRESS",
                source_ranges=[cidr],
                allows=[gcp.compute.FirewallAllowArgs(protocol="all")],
                opts=options,
            )
        configs.append(
            gcp.container.NodePoolNetworkConfigAdditionalNodeNetworkConfigArgs(
                network=network.name, subnetwork=subnet.name
            )
        )
    return configs


def node_pool(
    name: str,
    *,
    pool: NodePool,
    cluster: GkeCluster,
    options: pulumi.ResourceOptions,
    network_config: gcp.container.NodePoolNetworkConfigArgs | None = None,
    placement_policy: gcp.container.NodePoolPlacementPolicyArgs | None = None,
    **config: object,
) -> gcp.container.NodePool:
    """The nodes of a pool, all or none of which are wanted: no autoscaler changes what the run pays."""
    reserved = pool.capacity_type in {"reserved_1y", "reserved_3y", "capacity_block"}
    taints = (
        []
        if pool.gpu
        else [
            gcp.container.NodePoolNodeConfigTaintArgs(key=f"{TAG_PREFIX}/sandbox", value="only", effect="NO_SCHEDULE")
        ]
    )  # GKE itself taints nodes with GPUs
    return gcp.container.NodePool(
        name,
        cluster=cluster.id,
        node_count=pool.nodes,
        management=gcp.container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=False),
        placement_policy=placement_policy,
        network_config=network_config,
        node_config=gcp.container.NodePoolNodeConfigArgs(
            machine_type=pool.instance_type,
            disk_size_gb=pool.disk_gib,
            disk_type="hyperdisk-balanced" if pool.instance_type.startswith(("a3-ultra", "a4-")) else "pd-balanced",
            spot=pool.capacity_type == "spot",
            reservation_affinity=gcp.container.NodePoolNodeConfigReservationAffinityArgs(
                consume_reservation_type="ANY_RESERVATION" if reserved else "NO_RESERVATION"
            ),
            labels=pool.labels,
            taints=taints,
            **node_defaults(cluster),
            **config,
        ),
        opts=options,
    )
