"""Pools of nodes: GPUs side by side on a fast network, and sandboxes that are kept apart from everything else."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.eks import Eks
from infra.aws.gvisor import GVISOR_BOOT
from infra.node_fleet import SANDBOX_TAINT, Fleet, NodePool

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


class EksNodeGroup(pulumi.ComponentResource):
    """A pool: nodes with GPUs in one placement group, with every network card that they have; or nodes that run
    untrusted programs under gVisor, where nothing else is placed and no pod gets the node's credentials."""

    def __init__(self, pool: NodePool, *, fleet: Fleet, eks: Eks, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"clusterctl:aws:{'GpuPool' if pool.gpu else 'SandboxPool'}", pool.name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        groups, placement = [eks.security_group_id], None
        if pool.gpu:
            groups.append(self._fabric(pool.name, eks.subnets.vpc_id))
            together = aws.ec2.PlacementGroup(pool.name, strategy="cluster", opts=child)
            placement = aws.ec2.LaunchTemplatePlacementArgs(
                group_name=together.name, availability_zone=eks.subnets.zone
            )
        template = launch_template(pool, fleet, groups, placement, child)
        self.group = node_group(pool, fleet, eks, template, child).node_group_name
        self.register_outputs({"group": self.group})

    def _fabric(self, name: str, vpc_id: pulumi.Output[str]) -> pulumi.Output[str]:
        """The security group that EFA wants: everything between its members."""
        child = pulumi.ResourceOptions(parent=self)
        fabric = aws.ec2.SecurityGroup(
            name, vpc_id=vpc_id, description="EFA between the nodes of a pool, and nothing else", opts=child
        )
        for way, rule in (("in", aws.vpc.SecurityGroupIngressRule), ("out", aws.vpc.SecurityGroupEgressRule)):
            rule(
                f"{name}-{way}",
                security_group_id=fabric.id,
                referenced_security_group_id=fabric.id,
                ip_protocol="-1",
                opts=child,
            )
        return fabric.id


def launch_template(
    pool: NodePool,
    fleet: Fleet,
    security_groups: list[pulumi.Output[str]],
    placement: aws.ec2.LaunchTemplatePlacementArgs | None,
    options: pulumi.ResourceOptions,
) -> aws.ec2.LaunchTemplate:
    """What a node of a pool is: disk, network cards, how it is bought, its tags."""
    interfaces = [
        aws.ec2.LaunchTemplateNetworkInterfaceArgs(
            device_index=0 if card == 0 else 1,
            network_card_index=card,
            interface_type="efa" if card == 0 else "efa-only",
            security_groups=security_groups,
            delete_on_termination="true",
        )
        for card in range(EFA_CARDS.get(pool.instance_type, 0))
    ]
    is_block = pool.capacity_type == "capacity_block"
    market = aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block")
    target = aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
        capacity_reservation_id=pool.reservation
    )
    held = aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(capacity_reservation_target=target)
    return aws.ec2.LaunchTemplate(
        pool.name,
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
        instance_market_options=market if is_block else None,
        capacity_reservation_specification=held if pool.reservation else None,
        placement=None if is_block else placement,
        network_interfaces=interfaces or None,
        vpc_security_group_ids=None if interfaces else security_groups,
        user_data=None if pool.gpu else GVISOR_BOOT,
        tag_specifications=[
            aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=what, tags=fleet.tags_of(pool.name))
            for what in ("instance", "volume", "network-interface")
        ],
        opts=options,
    )


def node_group(
    pool: NodePool, fleet: Fleet, eks: Eks, template: aws.ec2.LaunchTemplate, options: pulumi.ResourceOptions
) -> aws.eks.NodeGroup:
    """The nodes of a pool.  No autoscaler of ours changes what the run pays: this program does, or the supervisor."""
    purchase = {"spot": "SPOT", "capacity_block": "CAPACITY_BLOCK"}.get(pool.capacity_type, "ON_DEMAND")
    taint = ("nvidia.com/gpu", "present") if pool.gpu else (SANDBOX_TAINT, "only")
    by_others = pulumi.ResourceOptions(ignore_changes=["scalingConfig.desiredSize"] if fleet.supervised else [])
    return aws.eks.NodeGroup(
        pool.name,
        cluster_name=eks.name,
        node_role_arn=eks.node_role_arn,
        subnet_ids=[eks.subnets.node_subnet_id],
        ami_type="AL2023_x86_64_NVIDIA" if pool.gpu else "AL2023_x86_64_STANDARD",
        capacity_type=purchase,
        launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
        scaling_config=aws.eks.NodeGroupScalingConfigArgs(
            desired_size=pool.nodes, min_size=pool.nodes, max_size=pool.most_nodes
        ),
        labels=fleet.node_labels(pool),
        tags=fleet.tags_of(pool.name),
        taints=[aws.eks.NodeGroupTaintArgs(key=taint[0], value=taint[1], effect="NO_SCHEDULE")],
        opts=pulumi.ResourceOptions.merge(options, by_others),
    )
