"""Dollars per hour of a resource of the Pulumi program: by the plan where it has the price, else by the price book.

What is free by the cloud's price list is 0; what nobody here knows is unknown, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clusterctl.clouds.prices import machine_usd
from clusterctl.errors import ClusterctlError
from planners.plan.value import Plan

Price = tuple[float | None, str]
"""Dollars per hour, and why they are unknown."""
FREE: Price = (0.0, "")
LINES = {
    "aws:eks/cluster:Cluster": "Kubernetes control plane",
    "gcp:container/cluster:Cluster": "Kubernetes control plane",
    "azure-native:containerservice:ManagedCluster": "Kubernetes control plane",
    "aws:ec2/natGateway:NatGateway": "NAT gateway",
    "gcp:compute/routerNat:RouterNat": "NAT gateway",
    "azure-native:network:NatGateway": "NAT gateway",
}
"""Type → the line of the plan's bill that has its price."""
BY_USE = {
    "aws:s3/bucketV2:BucketV2": "what it holds",
    "aws:efs/fileSystem:FileSystem": "what it holds",
    "gcp:storage/bucket:Bucket": "what it holds",
    "azure-native:storage:StorageAccount": "what it holds",
    "kubernetes:core/v1:PersistentVolumeClaim": "what it holds",
}
NO_CHARGE = frozenset(
    """
    aws:budgets/budget:Budget aws:ec2/internetGateway:InternetGateway aws:ec2/launchTemplate:LaunchTemplate
    aws:ec2/placementGroup:PlacementGroup aws:ec2/routeTable:RouteTable aws:ec2/securityGroup:SecurityGroup
    aws:ec2/routeTableAssociation:RouteTableAssociation aws:ec2/subnet:Subnet aws:ec2/vpc:Vpc
    aws:efs/mountTarget:MountTarget aws:eks/addon:Addon aws:eks/accessEntry:AccessEntry
    aws:eks/podIdentityAssociation:PodIdentityAssociation aws:eks/accessPolicyAssociation:AccessPolicyAssociation
    aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2 aws:s3/bucketPolicy:BucketPolicy
    aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock aws:s3/bucketVersioningV2:BucketVersioningV2
    aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2
    aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule
    gcp:billing/budget:Budget gcp:compute/firewall:Firewall gcp:compute/network:Network gcp:compute/router:Router
    gcp:compute/subnetwork:Subnetwork gcp:kms/keyRing:KeyRing gcp:serviceaccount/account:Account
    azure-native:authorization:RoleAssignment azure-native:compute:ProximityPlacementGroup
    azure-native:consumption:Budget
    azure-native:network:NetworkSecurityGroup azure-native:network:Subnet azure-native:network:VirtualNetwork
    azure-native:resources:ResourceGroup azure-native:storage:BlobContainer azure-native:storage:ManagementPolicy
    azure-native:storage:BlobServiceProperties
    """.split()  # noqa: SIM905 - one a line would be fifty lines
)
"""Nothing is charged for these themselves: https://aws.amazon.com/vpc/pricing, https://aws.amazon.com/eks/pricing,
https://cloud.google.com/vpc/network-pricing, https://azure.microsoft.com/pricing/details/virtual-network"""
FREE_PARTS = ("aws:iam/", "azure-native:managedidentity:", "kubernetes:")
"""Rights and objects in a cluster cost nothing; of Google the same, whatever the service."""
POOLS = ("NodeGroup", "NodePool", "AgentPool")


class FleetPrices:
    """steps: as the engine said them, all of one fleet; an EKS node group has its machine in its launch template."""

    def __init__(self, plan: Plan | None, steps: Sequence[Mapping[str, Any]]) -> None:
        self._plan = plan
        templates = [step for step in steps if step["type"].endswith(":LaunchTemplate")]
        self._machines = {step["name"]: str(step["inputs"].get("instanceType", "")) for step in templates}
        pools = plan.pools if plan else ()
        self._place = (pools[0].cloud, pools[0].region) if pools else ("", "")

    def of(self, kind: str, name: str, inputs: Mapping[str, Any]) -> Price:
        """Of a resource with these inputs."""
        short = kind.rpartition(":")[2]
        if short in POOLS:
            return self._pool(short, name, inputs)
        if inputs.get("vpcEndpointType") == "Gateway":
            return FREE
        if kind in NO_CHARGE or kind.startswith(FREE_PARTS) or "iAMMember" in kind or short.endswith("IAMMember"):
            return FREE
        if kind in LINES:
            return self._with_nodes(self._line(LINES[kind]), inputs)
        if kind in BY_USE:
            return None, f"billed by {BY_USE[kind]}"
        return None, "not in the price book"

    def _line(self, title: str) -> Price:
        """Of the plan's bill, whose unit is an hour."""
        prefix = f"{title}, {' '.join(self._place)}"
        for line in self._plan.lines if self._plan else ():
            if line.name == prefix:
                return line.usd_per_unit, "" if line.usd_per_unit is not None else "not in the price book"
        return None, "not in the plan"

    def _with_nodes(self, price: Price, inputs: Mapping[str, Any]) -> Price:
        """An AKS cluster is made with the pool of its small node."""
        usd, why = price
        for profile in inputs.get("agentPoolProfiles") or ():
            pool = self._pool("AgentPool", "", profile)
            usd, why = (None, why or pool[1]) if usd is None or pool[0] is None else (usd + pool[0], "")
        return usd, why

    def _pool(self, short: str, name: str, inputs: Mapping[str, Any]) -> Price:
        nodes = {
            "NodeGroup": (inputs.get("scalingConfig") or {}).get("desiredSize"),
            "NodePool": inputs.get("nodeCount", inputs.get("initialNodeCount")),
            "AgentPool": inputs.get("count"),
        }[short]
        if nodes is None:
            return None, "the number of nodes is not known yet"
        if not int(nodes):
            return FREE
        node = inputs.get("nodeConfig") or {}
        types = inputs.get("instanceTypes") or ()
        machine = (
            inputs.get("vmSize") or node.get("machineType") or (types[0] if types else self._machines.get(name, ""))
        )
        spot = "spot" in str(inputs.get("capacityType") or inputs.get("scaleSetPriority") or "").lower() or node.get(
            "spot"
        )
        usd = self._machine(machine, spot=bool(spot))
        return (None, f"no price of {machine or 'its machines'}") if usd is None else (usd * int(nodes), "")

    def _machine(self, machine: str, *, spot: bool) -> float | None:
        """Of the plan's pool of such machines, else of the price book."""
        for pool in self._plan.pools if self._plan else ():
            if pool.instance_type == machine and (pool.capacity_type == "spot") == spot:
                return pool.usd_per_node_hour
        cloud, region = self._place
        if not cloud or not machine:
            return None
        try:
            return machine_usd(cloud, region, machine, "spot" if spot else "on_demand")
        except ClusterctlError:
            return None
