"""The node groups of a fleet on EKS: their machines, their size, and why they lack some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from clusterctl.clouds.aws_session import AwsSession, code_of
from clusterctl.clouds.base import CloudError, CloudInstance
from clusterctl.fleet.outputs import FleetOutputs, FleetPool

GROUP_TAG, CLUSTER_TAG = "eks:nodegroup-name", "eks:cluster-name"
"""AWS itself puts them on the machines of a managed node group:
https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html"""
WHEN = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""In `User initiated (2026-11-30 17:00:00 GMT)`, the reason of a state."""
LIVE = {"pending", "running", "stopping", "stopped"}


def instances(session: AwsSession, fleet: FleetOutputs) -> Iterator[CloudInstance]:
    """Machines of the fleet's pools; AWS shows what has ended for about an hour."""
    pools = {pool.group: pool.name for pool in fleet.pools}
    wanted = [
        {"Name": f"tag:{CLUSTER_TAG}", "Values": [fleet.cluster]},
        {"Name": f"tag:{GROUP_TAG}", "Values": sorted(pools)},
    ]
    for group in session.pages("ec2", fleet.region, "describe_instances", "Reservations", Filters=wanted):
        for row in group["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
            yield _instance(row, pools[tags[GROUP_TAG]])


def _instance(row: Mapping[str, Any], pool: str) -> CloudInstance:
    state = row["State"]["Name"]
    reason = row.get("StateReason") or {}
    message = " ".join(filter(None, (reason.get("Code"), reason.get("Message"))))
    return CloudInstance(
        id=row["InstanceId"],
        pool=pool,
        since=row["LaunchTime"],
        until=None if state in LIVE else _ended_at(row),
        zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        address=row.get("PrivateDnsName", ""),
        spot=row.get("InstanceLifecycle") == "spot",
        ready=state == "running",
        message="" if state in LIVE else message,
    )


def _ended_at(row: Mapping[str, Any]) -> datetime:
    """When its state changed; where AWS doesn't say, now: no machine is billed for less than it lived."""
    when = WHEN.search(row.get("StateTransitionReason") or "")
    if when is None:
        return datetime.now(tz=UTC)
    return datetime.strptime(when[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def resize(session: AwsSession, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
    """Begin to make a node group that large.  Raises InUse while AWS is still changing it."""
    client = session.client("eks", fleet.region)
    said = session.call(client.describe_nodegroup, clusterName=fleet.cluster, nodegroupName=pool.group)["nodegroup"]
    if said["scalingConfig"]["desiredSize"] == nodes:
        return
    sizes = {"minSize": 0, "maxSize": max(nodes, pool.most_nodes, 1), "desiredSize": nodes}
    session.call(
        client.update_nodegroup_config, clusterName=fleet.cluster, nodegroupName=pool.group, scalingConfig=sizes
    )


def pool_problem(session: AwsSession, fleet: FleetOutputs, pool: FleetPool) -> str:
    """What EKS or the group's scaling says is wrong; of several activities the newest alone counts."""
    client = session.client("eks", fleet.region)
    said = session.call(client.describe_nodegroup, clusterName=fleet.cluster, nodegroupName=pool.group)["nodegroup"]
    issues = [f"{row['code']}: {row['message']}" for row in said.get("health", {}).get("issues") or ()]
    for group in said.get("resources", {}).get("autoScalingGroups") or ():
        issues += _failed_activity(session, fleet.region, group["name"])
    return "; ".join(dict.fromkeys(issues))


def _failed_activity(session: AwsSession, region: str, group: str) -> list[str]:
    client = session.client("autoscaling", region)
    try:
        said = session.call(client.describe_scaling_activities, AutoScalingGroupName=group, MaxRecords=1)
    except CloudError as error:
        if code_of(error.__cause__) == "ValidationError":  # the group is gone, or not there yet
            return []
        raise
    return [row.get("StatusMessage", "") for row in said["Activities"] if row["StatusCode"] == "Failed"]
