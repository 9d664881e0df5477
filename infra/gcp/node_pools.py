"""Pools of nodes: GPUs side by side on a fast network, and sandboxes under gVisor."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gke import Gke, Project, node_defaults
from infra.node_fleet import SANDBOX_TAINT, Fleet, NodePool

FLEX_START = "flex-start"
"""In place of a reservation: nodes that Google's Dynamic Workload Scheduler finds, cheaper and for a week at most:
https://cloud.google.com/kubernetes-engine/docs/concepts/dws"""

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


class GkeNodePool(pulumi.ComponentResource):
    """A pool: nodes with GPUs, placed close together, with a network for each card; or nodes that run untrusted
    programs, each pod with a kernel of gVisor, where GKE places nothing else."""

    def __init__(
        self, pool: NodePool, *, fleet: Fleet, project: Project, gke: Gke, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(f"clusterctl:gcp:{'GpuPool' if pool.gpu else 'SandboxPool'}", pool.name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        networks = gpu_networks(pool, fleet, project, gke, child)
        made = node_pool(pool, fleet, gke, networks, child, **(gpu_config(pool) if pool.gpu else SANDBOX_CONFIG))
        self.group = made.name
        self.register_outputs({"group": self.group})


SANDBOX_CONFIG: dict[str, Any] = {
    "image_type": "COS_CONTAINERD",
    "sandbox_config": gcp.container.NodePoolNodeConfigSandboxConfigArgs(sandbox_type="gvisor"),
    "gcfs_config": gcp.container.NodePoolNodeConfigGcfsConfigArgs(enabled=True),  # images are streamed
    "taints": [
        gcp.container.NodePoolNodeConfigTaintArgs(key=SANDBOX_TAINT, value="only", effect="NO_SCHEDULE")
    ],  # GKE itself taints nodes with GPUs
}


def gpu_config(pool: NodePool) -> dict[str, Any]:
    """The cards, with their driver."""
    driver = gcp.container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
        gpu_driver_version="LATEST"
    )
    cards = gcp.container.NodePoolNodeConfigGuestAcceleratorArgs(
        type=ACCELERATORS.get(pool.instance_type.rpartition("-")[0], f"nvidia-{(pool.gpu or '').lower()}"),
        count=pool.gpus_per_node,
        gpu_driver_installation_config=driver,
    )
    return {"gvnic": gcp.container.NodePoolNodeConfigGvnicArgs(enabled=True), "guest_accelerators": [cards]}


def gpu_networks(
    pool: NodePool, fleet: Fleet, project: Project, gke: Gke, options: pulumi.ResourceOptions
) -> list[gcp.container.NodePoolNetworkConfigAdditionalNodeNetworkConfigArgs]:
    """What the cards of a node are plugged into; nothing leads from there to anywhere else."""
    name, made = pool.name, []
    num_rdma = RDMA_SUBNETS.get(pool.instance_type, 0)
    alone = 1 if num_rdma else GPU_NETWORKS.get(pool.instance_type, 0)
    for number in range(alone):
        network = gcp.compute.Network(
            f"{name}-{number}", auto_create_subnetworks=False, mtu=RDMA_BYTES if num_rdma else JUMBO_BYTES, opts=options
        )
        made.append((network, f"{name}-{number}", f"192.168.{number}.0/24"))
    if num_rdma:
        profile = pulumi.Output.format("projects/{0}/global/networkProfiles/{1}-vpc-roce", project.project_id, gke.zone)
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
    pool: NodePool,
    fleet: Fleet,
    gke: Gke,
    networks: list[gcp.container.NodePoolNetworkConfigAdditionalNodeNetworkConfigArgs],
    options: pulumi.ResourceOptions,
    **config: Any,
) -> gcp.container.NodePool:
    """The nodes of a pool.  No autoscaler changes what the run pays: this program does, or the supervisor; only nodes
    of flex-start come when Google has them, for pods that wait."""
    flexible = pool.reservation == FLEX_START
    by_others = pulumi.ResourceOptions(ignore_changes=["nodeCount"] if fleet.supervised or flexible else [])
    return gcp.container.NodePool(
        pool.name,
        cluster=gke.id,
        node_count=0 if flexible else pool.nodes,
        autoscaling=gcp.container.NodePoolAutoscalingArgs(
            total_min_node_count=0, total_max_node_count=pool.most_nodes, location_policy="ANY"
        )
        if flexible
        else None,
        management=gcp.container.NodePoolManagementArgs(auto_repair=not flexible, auto_upgrade=False),
        placement_policy=gcp.container.NodePoolPlacementPolicyArgs(type="COMPACT")
        if pool.gpu and pool.most_nodes > 1
        else None,
        network_config=gcp.container.NodePoolNetworkConfigArgs(
            enable_private_nodes=True, additional_node_network_configs=networks
        )
        if networks
        else None,
        node_config=gcp.container.NodePoolNodeConfigArgs(
            machine_type=pool.instance_type,
            disk_size_gb=pool.disk_gib,
            disk_type="hyperdisk-balanced" if pool.instance_type.startswith(("a3-ultra", "a4-")) else "pd-balanced",
            spot=pool.capacity_type == "spot",
            flex_start=flexible or None,
            reservation_affinity=reservation_of(pool),
            labels=fleet.node_labels(pool),
            **node_defaults(fleet, gke.node_account, pool.name),
            **config,
        ),
        opts=pulumi.ResourceOptions.merge(options, by_others),
    )


def reservation_of(pool: NodePool) -> gcp.container.NodePoolNodeConfigReservationAffinityArgs:
    """Which capacity the nodes may use that was bought beforehand."""
    if pool.reservation and pool.reservation != FLEX_START:
        return gcp.container.NodePoolNodeConfigReservationAffinityArgs(
            consume_reservation_type="SPECIFIC_RESERVATION",
            key="compute.googleapis.com/reservation-name",
            values=[pool.reservation],
        )
    reserved = pool.capacity_type in {"reserved_1y", "reserved_3y"}
    return gcp.container.NodePoolNodeConfigReservationAffinityArgs(
        consume_reservation_type="ANY_RESERVATION" if reserved else "NO_RESERVATION"
    )
