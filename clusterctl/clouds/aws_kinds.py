"""Kinds of things on AWS that a fleet leaves behind: in which order they can go, and the call that removes each."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKind:
    """One call of AWS removes it."""

    service: str
    call: str
    argument: str
    """Which takes its id; ends in `s` where it takes several."""
    more: tuple[tuple[str, str | int | bool], ...] = ()

    def arguments(self, resource_id: str) -> dict[str, object]:
        """Of the call."""
        takes_many = self.argument.endswith("Ids")
        return {self.argument: [resource_id] if takes_many else resource_id, **dict(self.more)}

    def command(self, resource_id: str, region: str) -> str:
        """The same, as the `aws` command line has it."""
        words = ["aws", COMMAND_NAMES.get(self.service, self.service), self.call.replace("_", "-")]
        for name, value in ((self.argument, resource_id), *self.more):
            words += [f"--{_dashed(name)}", str(value)]
        return " ".join([*words, *(["--region", region] if region else [])])


def _dashed(name: str) -> str:
    """`AllocationId` → `allocation-id`, as the `aws` command line names arguments."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


COMMAND_NAMES = {"s3": "s3api"}
KINDS = {
    "nodegroup": AwsKind(service="eks", call="delete_nodegroup", argument="nodegroupName"),
    "instance": AwsKind(service="ec2", call="terminate_instances", argument="InstanceIds"),
    "spot-instances-request": AwsKind(
        service="ec2", call="cancel_spot_instance_requests", argument="SpotInstanceRequestIds"
    ),
    "capacity-reservation": AwsKind(
        service="ec2", call="cancel_capacity_reservation", argument="CapacityReservationId"
    ),
    "cluster": AwsKind(service="eks", call="delete_cluster", argument="name"),
    "load-balancer": AwsKind(service="elbv2", call="delete_load_balancer", argument="LoadBalancerArn"),
    "natgateway": AwsKind(service="ec2", call="delete_nat_gateway", argument="NatGatewayId"),
    "file-system": AwsKind(service="efs", call="delete_file_system", argument="FileSystemId"),
    "vpc-endpoint": AwsKind(service="ec2", call="delete_vpc_endpoints", argument="VpcEndpointIds"),
    "network-interface": AwsKind(service="ec2", call="delete_network_interface", argument="NetworkInterfaceId"),
    "elastic-ip": AwsKind(service="ec2", call="release_address", argument="AllocationId"),
    "volume": AwsKind(service="ec2", call="delete_volume", argument="VolumeId"),
    "snapshot": AwsKind(service="ec2", call="delete_snapshot", argument="SnapshotId"),
    "launch-template": AwsKind(service="ec2", call="delete_launch_template", argument="LaunchTemplateId"),
    "placement-group": AwsKind(service="ec2", call="delete_placement_group", argument="GroupName"),
    "security-group": AwsKind(service="ec2", call="delete_security_group", argument="GroupId"),
    "subnet": AwsKind(service="ec2", call="delete_subnet", argument="SubnetId"),
    "route-table": AwsKind(service="ec2", call="delete_route_table", argument="RouteTableId"),
    "internet-gateway": AwsKind(service="ec2", call="delete_internet_gateway", argument="InternetGatewayId"),
    "vpc": AwsKind(service="ec2", call="delete_vpc", argument="VpcId"),
    "bucket": AwsKind(service="s3", call="delete_bucket", argument="Bucket"),
    "log-group": AwsKind(service="logs", call="delete_log_group", argument="logGroupName"),
    "key": AwsKind(service="kms", call="schedule_key_deletion", argument="KeyId", more=(("PendingWindowInDays", 7),)),
    "role": AwsKind(service="iam", call="delete_role", argument="RoleName"),
    "budget": AwsKind(service="budgets", call="delete_budget", argument="BudgetName"),
}
"""In the order in which they can be removed: node groups first, which would replace their machines.

What is not here is found and named, and a person must remove it."""
ORDER = {kind: place for place, kind in enumerate(KINDS)}
WITH_OTHERS = {"security-group-rule", "dhcp-options", "network-acl", "podidentityassociation", "addon", "access-entry"}
"""Go away together with what they belong to."""
