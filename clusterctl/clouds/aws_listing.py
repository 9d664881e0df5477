"""Everything on AWS that has our tags.

The tagging API knows most services, minutes late, and some never (roles, budgets).  What costs the most, EC2 and EKS,
is asked itself; what the tagging API alone knows (keys, logs, buckets, services that this file doesn't name) is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from clusterctl.clouds.aws_details import ec2_details, is_key_ending
from clusterctl.clouds.aws_kinds import KINDS, ORDER, WITH_OTHERS
from clusterctl.clouds.aws_session import AwsSession, is_gone
from clusterctl.clouds.base import CloudError, CloudResource, Found, NotAsked
from clusterctl.clouds.prices import extra_usd
from planners.tags import tag_key

RUN, OWNER = tag_key("aws", "run"), tag_key("aws", "owner")
TAGGING_LATE = timedelta(days=1)
"""A younger bucket may not yet be known to the tagging API: it is asked itself.  Assumption; AWS promises no time."""
Tags = Mapping[str, str]
Lister = Callable[[AwsSession, str, str | None], Iterable[CloudResource]]


def list_region(session: AwsSession, region: str, owner: str | None) -> Found:
    """What is ours in a region, and the services there that refused to say."""
    return _list(session, region, owner, {"ec2": _ec2, "eks": _eks, "efs": _efs, "tagging": _tagged})


def list_global(session: AwsSession, account: str, owner: str | None) -> Found:
    """What is ours and belongs to no region."""

    def budgets(session: AwsSession, _: str, owner: str | None) -> Iterator[CloudResource]:
        return _budgets(session, account, owner)

    return _list(session, "", owner, {"s3": _young_buckets, "iam": _roles, "budgets": budgets})


def _list(session: AwsSession, region: str, owner: str | None, listers: Mapping[str, Lister]) -> Found:
    found: dict[tuple[str, str], CloudResource] = {}
    refused: dict[str, str] = {}
    for service, lister in listers.items():
        try:
            for item in lister(session, region, owner):
                found.setdefault((item.kind, item.id), item)
        except CloudError as error:
            refused[service] = error.message
    if len(refused) == len(listers) and region:
        places = {region: next(iter(refused.values()))}
    else:
        places = {f"{service} in {region}" if region else service: why for service, why in refused.items()}
    return Found(
        resources=tuple(found.values()),
        not_asked=tuple(NotAsked(cloud="aws", place=place, reason=why) for place, why in places.items()),
    )


def _resource(kind: str, resource_id: str, region: str, tags: Tags, name: str = "") -> CloudResource:
    known = KINDS.get(kind)
    return CloudResource(
        cloud="aws",
        kind=kind,
        id=resource_id,
        name=name or tags.get("Name", ""),
        region=region,
        run_id=tags.get(RUN, ""),
        owner=tags.get(OWNER, ""),
        usd_per_hour=0.0 if known else None,
        command=known.command(resource_id, region) if known else "",
        note="" if known else "this version can't remove it",
    )


def _tags(rows: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {row.get("Key", row.get("key", "")): row.get("Value", row.get("value", "")) for row in rows or ()}


def _is_ours(tags: Tags, owner: str | None) -> bool:
    return (RUN in tags or OWNER in tags) and (owner is None or tags.get(OWNER) == owner)


def _ec2(session: AwsSession, region: str, owner: str | None) -> Iterator[CloudResource]:
    """One listing has the tags of everything in EC2; then each kind says what has ended and since when the rest is."""
    wanted = [{"Name": "key", "Values": [RUN, OWNER, "Name"]}]
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for row in session.pages("ec2", region, "describe_tags", "Tags", Filters=wanted):
        tags.setdefault((row["ResourceType"], row["ResourceId"]), {})[row["Key"]] = row["Value"]
    ours = {thing: its for thing, its in tags.items() if _is_ours(its, owner) and thing[0] not in WITH_OTHERS}
    for kind in sorted({kind for kind, _ in ours}):
        items = {name: _resource(kind, name, region, its) for (of, name), its in ours.items() if of == kind}
        yield from ec2_details(session, region, kind, items)
    for (kind, vpc), its in ours.items():
        if kind == "vpc":
            yield from _inside(session, region, vpc, its)


def _inside(session: AwsSession, region: str, vpc: str, tags: Tags) -> Iterator[CloudResource]:
    """What others have made in a network of ours, without our tags, and without whose end it can't go: network cards
    that the cluster's agents have left behind, groups and load balancers of the cluster."""
    where = [{"Name": "vpc-id", "Values": [vpc]}]
    free = [*where, {"Name": "status", "Values": ["available"]}]
    for row in session.pages("ec2", region, "describe_network_interfaces", "NetworkInterfaces", Filters=free):
        if not _has_own_tags(row.get("TagSet")):
            yield _resource("network-interface", row["NetworkInterfaceId"], region, tags, row.get("Description", ""))
    for row in session.pages("ec2", region, "describe_security_groups", "SecurityGroups", Filters=where):
        if row["GroupName"] != "default" and not _has_own_tags(row.get("Tags")):
            yield _resource("security-group", row["GroupId"], region, tags, row["GroupName"])
    for row in session.pages("elbv2", region, "describe_load_balancers", "LoadBalancers"):
        if row.get("VpcId") == vpc:
            item = _resource("load-balancer", row["LoadBalancerArn"], region, tags, row["LoadBalancerName"])
            yield replace(item, since=row["CreatedTime"], usd_per_hour=None)


def _has_own_tags(rows: Iterable[Mapping[str, str]] | None) -> bool:
    """It says itself whose it is: of another run, or of another owner who uses the same network."""
    return bool({RUN, OWNER} & set(_tags(rows)))


def _eks(session: AwsSession, region: str, owner: str | None) -> Iterator[CloudResource]:
    """Clusters, and the groups of nodes without which a cluster can't go."""
    client = session.client("eks", region)
    for name in session.pages("eks", region, "list_clusters", "clusters"):
        cluster = session.call(client.describe_cluster, name=name)["cluster"]
        tags = cluster.get("tags") or {}
        is_whole = _is_ours(tags, owner)
        if is_whole:
            usd = extra_usd("aws", region, "k8s_control_plane_standard_support")
            yield replace(_resource("cluster", name, region, tags), since=cluster["createdAt"], usd_per_hour=usd)
        for group in session.pages("eks", region, "list_nodegroups", "nodegroups", clusterName=name):
            said = session.call(client.describe_nodegroup, clusterName=name, nodegroupName=group)["nodegroup"]
            own = (tags if is_whole else {}) | (said.get("tags") or {})
            if _is_ours(own, owner):
                command = f"aws eks delete-nodegroup --cluster-name {name} --nodegroup-name {group} --region {region}"
                item = _resource("nodegroup", f"{name}/{group}", region, own)
                yield replace(item, since=said["createdAt"], command=command)


def _efs(session: AwsSession, region: str, owner: str | None) -> Iterator[CloudResource]:
    for row in session.pages("efs", region, "describe_file_systems", "FileSystems"):
        tags = _tags(row.get("Tags"))
        if _is_ours(tags, owner) and row["LifeCycleState"] not in {"deleting", "deleted"}:
            yield replace(
                _resource("file-system", row["FileSystemId"], region, tags),
                since=row["CreationTime"],
                usd_per_hour=None,
                holds_data=True,
            )


def _tagged(session: AwsSession, region: str, owner: str | None) -> Iterator[CloudResource]:
    """What only the tagging API knows."""
    own: list[Any] = [{"Key": OWNER, "Values": [owner]}] if owner else [{"Key": RUN}]
    rows = session.pages("resourcegroupstaggingapi", region, "get_resources", "ResourceTagMappingList", TagFilters=own)
    for row in rows:
        _, _, service, _, _, rest = row["ResourceARN"].split(":", 5)
        tags = _tags(row["Tags"])
        kind, slash, name = rest.partition("/")
        if service in {"ec2", "eks", "elasticfilesystem", "iam", "budgets"} or kind in WITH_OTHERS:
            continue
        if service == "s3" and not slash:
            yield replace(_resource("bucket", rest, region, tags), usd_per_hour=None, holds_data=True)
        elif service == "logs":
            yield _resource("log-group", rest.removeprefix("log-group:").removesuffix(":*"), region, tags)
        elif service == "kms" and not is_key_ending(session, region, name):
            yield replace(_resource("key", name, region, tags), usd_per_hour=None)
        elif service != "kms":
            yield _resource(f"{service} {kind}", row["ResourceARN"], region, tags)


def _young_buckets(session: AwsSession, _: str, owner: str | None) -> Iterator[CloudResource]:
    client, now = session.client("s3"), datetime.now(tz=UTC)
    for row in session.call(client.list_buckets)["Buckets"]:
        if now - row["CreationDate"] > TAGGING_LATE:
            continue
        name = row["Name"]
        try:
            tags = _tags(session.call(client.get_bucket_tagging, Bucket=name)["TagSet"])
            if _is_ours(tags, owner):
                region = session.call(client.get_bucket_location, Bucket=name).get("LocationConstraint") or "us-east-1"
                item = _resource("bucket", name, region, tags)
                yield replace(item, since=row["CreationDate"], usd_per_hour=None, holds_data=True)
        except CloudError as error:
            if not is_gone(error):  # NoSuchTagSet: it has no tags
                raise


def _roles(session: AwsSession, _: str, owner: str | None) -> Iterator[CloudResource]:
    """Listings of roles leave out their tags: each is asked, except those that AWS itself has made."""
    client = session.client("iam")
    for row in session.pages("iam", "", "list_roles", "Roles"):
        if row["Path"].startswith("/aws-service-role/"):
            continue
        tags = _tags(session.call(client.list_role_tags, RoleName=row["RoleName"])["Tags"])
        if _is_ours(tags, owner):
            yield replace(_resource("role", row["RoleName"], "", tags), since=row["CreateDate"])


def _budgets(session: AwsSession, account: str, owner: str | None) -> Iterator[CloudResource]:
    """A budget names the run whose dollars it adds up."""
    client = session.client("budgets")
    for row in session.pages("budgets", "", "describe_budgets", "Budgets", AccountId=account):
        filters = (row.get("CostFilters") or {}).get("TagKeyValue") or ()
        if any(text.startswith(f"user:{RUN}$") for text in filters):
            name = row["BudgetName"]
            arn = f"arn:aws:budgets::{account}:budget/{name}"
            tags = _tags(session.call(client.list_tags_for_resource, ResourceARN=arn).get("ResourceTags"))
            if _is_ours(tags, owner):
                command = f"aws budgets delete-budget --account-id {account} --budget-name {name}"
                yield replace(_resource("budget", f"{account}/{name}", "", tags), command=command)


def in_order(resources: Iterable[CloudResource]) -> tuple[CloudResource, ...]:
    """As they can be removed; what this version can't remove comes last."""
    return tuple(sorted(resources, key=lambda item: (ORDER.get(item.kind, len(ORDER)), item.region, item.id)))
