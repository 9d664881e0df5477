"""What EC2 says of things by their ids: whether they have ended, since when they are, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from clusterctl.clouds.aws_session import AwsSession
from clusterctl.clouds.base import CloudResource
from clusterctl.clouds.prices import disk_usd, extra_usd, machine_usd
from planners.tags import tag_key

TAGGED = "tag-key"
CALLS = {
    "instance": ("describe_instances", "Reservations", "instance-id", "InstanceId", "LaunchTime"),
    "volume": ("describe_volumes", "Volumes", "volume-id", "VolumeId", "CreateTime"),
    "natgateway": ("describe_nat_gateways", "NatGateways", "nat-gateway-id", "NatGatewayId", "CreateTime"),
    "elastic-ip": ("describe_addresses", "Addresses", "allocation-id", "AllocationId", ""),
    "vpc-endpoint": ("describe_vpc_endpoints", "VpcEndpoints", "vpc-endpoint-id", "VpcEndpointId", "CreationTimestamp"),
    "launch-template": ("describe_launch_templates", "LaunchTemplates", TAGGED, "LaunchTemplateId", "CreateTime"),
    "placement-group": ("describe_placement_groups", "PlacementGroups", TAGGED, "GroupId", ""),
    "capacity-reservation": (
        "describe_capacity_reservations",
        "CapacityReservations",
        TAGGED,
        "CapacityReservationId",
        "CreateDate",
    ),
    "network-interface": (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "network-interface-id",
        "NetworkInterfaceId",
        "",
    ),
    "security-group": ("describe_security_groups", "SecurityGroups", "group-id", "GroupId", ""),
    "subnet": ("describe_subnets", "Subnets", "subnet-id", "SubnetId", ""),
    "route-table": ("describe_route_tables", "RouteTables", "route-table-id", "RouteTableId", ""),
    "internet-gateway": (
        "describe_internet_gateways",
        "InternetGateways",
        "internet-gateway-id",
        "InternetGatewayId",
        "",
    ),
    "vpc": ("describe_vpcs", "Vpcs", "vpc-id", "VpcId", ""),
}
"""Kind → call, rows, the filter that asks for these alone, its id, when it was made."""
EXTRAS = {"natgateway": "nat_gateway_hour", "elastic-ip": "public_ipv4"}
"""Kind → the price book's name of what it costs by the hour."""
ENDED = {"terminated", "shutting-down", "deleted", "deleting", "cancelled", "expired", "failed"}
MOST_IDS = 200
"""Values of one filter: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html"""


def ec2_details(
    session: AwsSession, region: str, kind: str, items: Mapping[str, CloudResource]
) -> Iterator[CloudResource]:
    """The items that have not ended.  Tags of what has ended are shown for an hour."""
    if kind not in CALLS:
        yield from items.values()
        return
    call, rows, name, id_field, since_field = CALLS[kind]
    ids = sorted(items)
    for start in range(0, len(ids), MOST_IDS):
        some = ids[start : start + MOST_IDS]
        values = some if name != TAGGED else [tag_key("aws", "run"), tag_key("aws", "owner")]
        for row in _rows(session, region, call, rows, [{"Name": name, "Values": values}]):
            if row[id_field] not in some or _state(row) in ENDED:
                continue
            since = row.get(since_field)
            item = replace(items[row[id_field]], since=since if isinstance(since, datetime) else None)
            yield _priced(item, row)


def _rows(session: AwsSession, region: str, call: str, rows: str, filters: list[dict[str, Any]]) -> Iterator[Any]:
    client = session.client("ec2", region)
    argument = {"Filter": filters} if call == "describe_nat_gateways" else {"Filters": filters}
    if client.can_paginate(call):
        found = session.pages("ec2", region, call, rows, **argument)
    else:
        found = iter(session.call(getattr(client, call), **argument)[rows])
    for row in found:
        yield from row["Instances"] if rows == "Reservations" else [row]


def _state(row: Mapping[str, Any]) -> str:
    state = row.get("State", "")
    return str(state.get("Name", "") if isinstance(state, Mapping) else state)


def _priced(item: CloudResource, row: Mapping[str, Any]) -> CloudResource:
    """With what it costs.  Launch templates and placement groups are free."""
    region, usd = item.region, item.usd_per_hour
    if item.kind == "instance":
        return _machine(item, row)
    if item.kind == "capacity-reservation":
        return _reservation(item, row)
    if item.kind == "placement-group":  # is removed by its name
        return replace(item, id=row["GroupName"], command=item.command.replace(item.id, row["GroupName"]))
    if item.kind == "volume":
        usd = disk_usd("aws", region, "block_gp3_storage", row["Size"])
    elif item.kind in EXTRAS:
        usd = extra_usd("aws", region, EXTRAS[item.kind])
    elif item.kind == "vpc-endpoint" and row.get("VpcEndpointType", "Gateway") != "Gateway":
        usd = None
    return replace(item, usd_per_hour=usd)


def _machine(item: CloudResource, row: Mapping[str, Any]) -> CloudResource:
    """A machine that is stopped costs nothing but its disks, which are listed by themselves."""
    capacity = "spot" if row.get("InstanceLifecycle") == "spot" else "on_demand"
    stopped = _state(row) in {"stopped", "stopping"}
    usd = 0.0 if stopped else machine_usd("aws", item.region, row["InstanceType"], capacity)
    return replace(item, usd_per_hour=usd, note=f"{row['InstanceType']}{' spot' if capacity == 'spot' else ''}")


def _reservation(item: CloudResource, row: Mapping[str, Any]) -> CloudResource:
    """Paid whether it is used or not; a block is paid up front, and nobody can give it back."""
    usd = machine_usd("aws", item.region, row["InstanceType"], "on_demand")
    each = None if usd is None else usd * row["TotalInstanceCount"]
    if row.get("ReservationType") == "capacity-block":
        note = f"a capacity block can't be removed; it is paid until {row.get('EndDate')}"
        return replace(item, usd_per_hour=None, command="", note=note)
    return replace(item, usd_per_hour=each, note=f"{row['TotalInstanceCount']} × {row['InstanceType']}")


def is_key_ending(session: AwsSession, region: str, key: str) -> bool:
    """Whether a key is about to be deleted already, which takes a week."""
    said = session.call(session.client("kms", region).describe_key, KeyId=key)
    return bool(said["KeyMetadata"]["KeyState"] in {"PendingDeletion", "PendingReplicaDeletion"})
