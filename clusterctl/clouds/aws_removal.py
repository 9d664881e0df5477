"""How a thing on AWS is removed, where one call is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clusterctl.clouds.aws_kinds import KINDS
from clusterctl.clouds.aws_session import AwsSession, is_gone
from clusterctl.clouds.base import CloudError, CloudResource, InUse


def remove(session: AwsSession, item: CloudResource) -> None:
    """Begin to remove it; what is gone already is success.

    Raises InUse where another thing must go first, CloudError where AWS refuses.
    """
    if item.kind not in KINDS or not item.command:
        raise CloudError(f"{item.kind} {item.id}: {item.note}", hint="the console of AWS shows it")
    if item.kind in BEFORE:
        with _unless_gone():
            BEFORE[item.kind](session, item)
    with _unless_gone():
        if item.kind in ALONE:
            ALONE[item.kind](session, item)
        else:
            kind = KINDS[item.kind]
            session.call(getattr(session.client(kind.service, item.region), kind.call), **kind.arguments(item.id))


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        if not is_gone(error):
            raise


def _nodegroup(session: AwsSession, item: CloudResource) -> None:
    cluster, _, group = item.id.partition("/")
    client = session.client("eks", item.region)
    said = session.call(client.describe_nodegroup, clusterName=cluster, nodegroupName=group)["nodegroup"]
    if said["status"] != "DELETING":
        session.call(client.delete_nodegroup, clusterName=cluster, nodegroupName=group)


def _cluster(session: AwsSession, item: CloudResource) -> None:
    client = session.client("eks", item.region)
    if session.call(client.describe_cluster, name=item.id)["cluster"]["status"] != "DELETING":
        session.call(client.delete_cluster, name=item.id)


def _budget(session: AwsSession, item: CloudResource) -> None:
    account, _, name = item.id.partition("/")
    session.call(session.client("budgets").delete_budget, AccountId=account, BudgetName=name)


def _empty_bucket(session: AwsSession, item: CloudResource) -> None:
    """All versions of all files, and what uploads that were cut have left."""
    client = session.client("s3", item.region)
    for rows in ("Versions", "DeleteMarkers"):
        batch: list[dict[str, str]] = []
        for row in session.pages("s3", item.region, "list_object_versions", rows, Bucket=item.id):
            batch.append({"Key": row["Key"], "VersionId": row["VersionId"]})
            if len(batch) == 1000:  # the most that one call takes
                _delete_objects(session, item, batch)
                batch = []
        _delete_objects(session, item, batch)
    for row in session.pages("s3", item.region, "list_multipart_uploads", "Uploads", Bucket=item.id):
        session.call(client.abort_multipart_upload, Bucket=item.id, Key=row["Key"], UploadId=row["UploadId"])


def _delete_objects(session: AwsSession, item: CloudResource, batch: list[dict[str, str]]) -> None:
    if batch:
        client = session.client("s3", item.region)
        said = session.call(client.delete_objects, Bucket=item.id, Delete={"Objects": batch, "Quiet": True})
        for row in said.get("Errors") or ():
            raise CloudError(f"AWS: {row.get('Key')} in bucket {item.id}: {row.get('Message')}")


def _free_mounts(session: AwsSession, item: CloudResource) -> None:
    client = session.client("efs", item.region)
    mounts = session.call(client.describe_mount_targets, FileSystemId=item.id)["MountTargets"]
    for row in mounts:
        if row["LifeCycleState"] not in {"deleting", "deleted"}:
            session.call(client.delete_mount_target, MountTargetId=row["MountTargetId"])
    if mounts:
        raise InUse(f"AWS: the mount targets of {item.id} are being removed")


def _detach_gateway(session: AwsSession, item: CloudResource) -> None:
    client = session.client("ec2", item.region)
    said = session.call(client.describe_internet_gateways, InternetGatewayIds=[item.id])
    for row in said["InternetGateways"][0]["Attachments"]:
        session.call(client.detach_internet_gateway, InternetGatewayId=item.id, VpcId=row["VpcId"])


def _revoke_rules(session: AwsSession, item: CloudResource) -> None:
    """Groups that name each other in their rules hold each other; nothing of ours is left that would use them."""
    client = session.client("ec2", item.region)
    rules = session.pages(
        "ec2",
        item.region,
        "describe_security_group_rules",
        "SecurityGroupRules",
        Filters=[{"Name": "group-id", "Values": [item.id]}],
    )
    for rule in list(rules):
        act = client.revoke_security_group_egress if rule["IsEgress"] else client.revoke_security_group_ingress
        with _unless_gone():
            session.call(act, GroupId=item.id, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def _free_routes(session: AwsSession, item: CloudResource) -> None:
    client = session.client("ec2", item.region)
    said = session.call(client.describe_route_tables, RouteTableIds=[item.id])["RouteTables"][0]
    for row in said["Associations"]:
        if not row.get("Main"):
            session.call(client.disassociate_route_table, AssociationId=row["RouteTableAssociationId"])


def _strip_role(session: AwsSession, item: CloudResource) -> None:
    client = session.client("iam")
    for row in session.pages("iam", "", "list_attached_role_policies", "AttachedPolicies", RoleName=item.id):
        session.call(client.detach_role_policy, RoleName=item.id, PolicyArn=row["PolicyArn"])
    for name in session.pages("iam", "", "list_role_policies", "PolicyNames", RoleName=item.id):
        session.call(client.delete_role_policy, RoleName=item.id, PolicyName=name)
    for row in session.pages("iam", "", "list_instance_profiles_for_role", "InstanceProfiles", RoleName=item.id):
        name = row["InstanceProfileName"]
        session.call(client.remove_role_from_instance_profile, RoleName=item.id, InstanceProfileName=name)


BEFORE = {
    "bucket": _empty_bucket,
    "file-system": _free_mounts,
    "internet-gateway": _detach_gateway,
    "security-group": _revoke_rules,
    "route-table": _free_routes,
    "role": _strip_role,
}
"""What must be done before the one call that removes it."""
ALONE = {"nodegroup": _nodegroup, "cluster": _cluster, "budget": _budget}
"""Removed by more than their id."""
