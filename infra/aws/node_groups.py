"""Pools of nodes: GPUs side by side on a fast network, and sandboxes that are kept apart from everything else."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.eks import EksCluster
from infra.aws.vpc import AwsNetwork
from infra.node_fleet import TAG_PREFIX, Fleet, NodePool

EFA_CARDS = {
    "p4d.24xlarge": 4,
    "p4de.24xlarge": 4,
    "p5.48xlarge": 32,
    "p5e.48xlarge": 32,
    "p5en.48xlarge": 16,
    "p6-b200.48xlarge": 8,
}
"""Cards with EFA: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html.  The first has the
address of the node, too; the others only carry EFA."""


class GpuNodeGroup(pulumi.ComponentResource):
    """Nodes with GPUs in one placement group, with every network card that they have."""

    def __init__(
        self,
        name: str,
        *,
        pool: NodePool,
        fleet: Fleet,
        network: AwsNetwork,
        cluster: EksCluster,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:aws:GpuPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        fabric = aws.ec2.SecurityGroup(
            name, vpc_id=network.vpc_id, description="EFA between the nodes of a pool, and nothing else", opts=child
        )
        for way, rule in (("in", aws.vpc.SecurityGroupIngressRule), ("out", aws.vpc.SecurityGroupEgressRule)):
            rule(
                f"{name}-{way}",
                security_group_id=fabric.id,
                referenced_security_group_id=fabric.id,
                ip_protocol="-1",
                opts=child,
            )
        group = aws.ec2.PlacementGroup(name, strategy="cluster", opts=child)
        groups = [cluster.security_group_id, fabric.id]
        template = launch_template(
            name,
            pool=pool,
            fleet=fleet,
            placement=aws.ec2.LaunchTemplatePlacementArgs(group_name=group.name, availability_zone=network.zone),
            security_groups=groups,
            options=child,
        )
        node_group(name, pool=pool, network=network, cluster=cluster, template=template, options=child)
        self.register_outputs({})


class SandboxNodeGroup(pulumi.ComponentResource):
    """Nodes that run untrusted programs: nothing else is placed there, and no pod gets the node's credentials."""

    def __init__(
        self,
        name: str,
        *,
        pool: NodePool,
        fleet: Fleet,
        network: AwsNetwork,
        cluster: EksCluster,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:aws:SandboxPool", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        template = launch_template(
            name, pool=pool, fleet=fleet, placement=None, security_groups=[cluster.security_group_id], options=child
        )
        node_group(name, pool=pool, network=network, cluster=cluster, template=template, options=child)
        self.register_outputs({})


def launch_template(
    name: str,
    *,
    pool: NodePool,
    fleet: Fleet,
    placement: aws.ec2.LaunchTemplatePlacementArgs | None,
    security_groups: list[pulumi.Output[str]],
    options: pulumi.ResourceOptions,
) -> aws.ec2.LaunchTemplate:
    """What a node of a pool is: disk, network cards, how it is bought, its tags."""
    cards = EFA_CARDS.get(pool.instance_type, 0)
    interfaces = [
        aws.ec2.LaunchTemplateNetworkInterfaceArgs(
            device_index=0 if card == 0 else 1,
            network_card_index=card,
            interface_type="efa" if card == 0 else "efa-only",
            security_groups=security_groups,
            delete_on_termination="true",
        )
        for card in range(cards)
    ]
    is_block = pool.capacity_type == "capacity_block"
    return aws.ec2.LaunchTemplate(
        name,
        instance_type=pool.instance_type,
        update_default_version=True,
        block_device_mappings=[
            aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name="/dev/xvda",
                ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    volume_size=pool.disk_gib, volume_type="gp3", encrypted="true", delete_on_termination="true"
                ),
            )
        ],
        metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled",
            http_tokens="required",
            http_put_response_hop_limit=1,  # no pod reaches the node's credentials
        ),
        instance_market_options=aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block")
        if is_block
        else None,
        placement=None if is_block else placement,
        network_interfaces=interfaces or None,
        vpc_security_group_ids=None if interfaces else security_groups,
        tag_specifications=[
            aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=what, tags=fleet.tags)
            for what in ("instance", "volume", "network-interface")
        ],
        opts=options,
    )


def node_group(
    name: str,
    *,
    pool: NodePool,
    network: AwsNetwork,
    cluster: EksCluster,
    template: aws.ec2.LaunchTemplate,
    options: pulumi.ResourceOptions,
) -> aws.eks.NodeGroup:
    """The nodes of a pool, all or none of which are wanted: no autoscaler changes what the run pays."""
    purchase = {"spot": "SPOT", "capacity_block": "CAPACITY_BLOCK"}.get(pool.capacity_type, "ON_DEMAND")
    taint = ("nvidia.com/gpu", "present") if pool.gpu else (f"{TAG_PREFIX}/sandbox", "only")
    return aws.eks.NodeGroup(
        name,
        cluster_name=cluster.name,
        node_role_arn=cluster.node_role.arn,
        subnet_ids=[network.node_subnet_id],
        ami_type="AL2023_x86_64_NVIDIA" if pool.gpu else "AL2023_x86_64_STANDARD",
        capacity_type=purchase,
        launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            desired_size=pool.nodes, min_size=pool.nodes, max_size=max(pool.nodes, 1)
        ),
        labels=pool.labels,
        taints=[aws.eks.NodeGroupTaintArgs(key=taint[0], value=taint[1], effect="NO_SCHEDULE")],
        opts=options,
    )
