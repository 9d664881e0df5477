"""Rules on tags: whose a resource is, and until when."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    RuleSetting,
    SafetySetting,
    StackFacts,
    at,
    is_unknown,
    mappings,
    plain_type,
    short_type,
)
from planners.spec.spec_model import Word
from planners.tags import tag_key


class TagSetting(SafetySetting):
    """`missing-tags`."""

    tags: tuple[Word, ...] = Field((), description="Tags that each resource must have; none = any tag at all will do.")


class ExpirySetting(RuleSetting):
    """`missing-expiry`."""

    tags: tuple[Word, ...] = Field(
        ("expires", "expiry", "expiration", "ttl", "delete-after"),
        description="Tags that say it; one of them is enough.",
    )


_OWN = ("run", "owner", "plan-id", "team", "budget")
_OWN_AZURE = frozenset(
    {
        "ResourceGroup",
        "VirtualNetwork",
        "PublicIPAddress",
        "NatGateway",
        "NetworkSecurityGroup",
        "ManagedCluster",
        "AgentPool",
        "StorageAccount",
        "UserAssignedIdentity",
        "ProximityPlacementGroup",
    }
)
_TAGGED = {
    "aws": re.compile(
        r"^aws:(ec2/(instance|spotInstanceRequest|natGateway|fleet|vpcEndpoint|capacityReservation)|ebs/volume|eks/(cluster|nodeGroup)"
        r"|autoscaling/group|s3/bucket(V2)?|efs/fileSystem|fsx/\w+|rds/(instance|cluster)|lb/loadBalancer|alb/loadBalancer"
        r"|elasticloadbalancing/loadBalancer|ecr/repository|sagemaker/\w+):"
    ),
    "gcp": re.compile(
        r"^gcp:(compute/(instance|disk|regionDisk|instanceTemplate)|container/cluster|storage/bucket|filestore/instance"
        r"|tpu/v2Vm|sql/databaseInstance|artifactregistry/repository):"
    ),
    "azure": re.compile(
        r"^(azure-native:(compute:(VirtualMachine|VirtualMachineScaleSet|Disk)|containerservice:ManagedCluster"
        r"|storage:StorageAccount|network:(NatGateway|LoadBalancer|PublicIPAddress)|containerregistry:Registry"
        r"|resources:ResourceGroup)$|azure:(compute/(linuxVirtualMachine|virtualMachine|linuxVirtualMachineScaleSet|managedDisk)"
        r"|containerservice/(kubernetesCluster|registry)|storage/account|network/(natGateway|publicIp)|lb/loadBalancer"
        r"|core/resourceGroup):)"
    ),
}
"""What costs money, stands for long, and can be tagged."""
_SAYS_NOTHING = re.compile(r"^(Name|name|pulumi|kubernetes\.io/.*|k8s\.io/.*|goog-.*|aws:.*)$")
"""Tags that say neither whose it is nor what for."""


def _missing_tags(kind: str, properties: Properties, setting: TagSetting, stack: StackFacts) -> Iterator[str]:
    kind = plain_type(kind)
    if setting.strict:
        yield from _lacks_own(kind, properties)
        return
    tags = _tags(kind, properties)
    if tags is None:
        return
    names = set(tags) | set(stack.given_tags)
    if setting.tags:
        spelled = {_spelled(name) for name in names}
        missing = [name for name in setting.tags if _spelled(name) not in spelled]
        if missing:
            yield f"lacks the tag{'' if len(missing) == 1 else 's'} {', '.join(missing)}"
    elif not [name for name in names if not _SAYS_NOTHING.match(name)]:
        yield "has no tag that says whose it is or what for"


def _spelled(name: str) -> str:
    """`Cost_Center` is `cost-center`: labels of Google Cloud hold no capitals."""
    return name.lower().replace("_", "-")


def _tags(kind: str, properties: Properties) -> Mapping[str, Any] | None:
    """A resource's tags; None where it has none by its kind, or they are known only after the apply."""
    cloud = kind.partition(":")[0].partition("-")[0]
    if cloud not in _TAGGED or not _TAGGED[cloud].search(kind):
        return None
    found: dict[str, Any] = {}
    for path in ("tags", "tagsAll", "labels", "resourceLabels", "effectiveLabels", "userLabels", "settings.userLabels"):
        stated = at(properties, path)
        if is_unknown(stated):
            return None
        if isinstance(stated, Mapping):
            found |= stated
        found |= {str(each.get("key")): each.get("value") for each in mappings(stated) if "key" in each}
    return found


def _missing_expiry(kind: str, properties: Properties, setting: ExpirySetting, stack: StackFacts) -> Iterator[str]:
    tags = _tags(plain_type(kind), properties)
    if tags is None:
        return
    wanted = {_spelled(name) for name in setting.tags}
    stated = [value for name, value in tags.items() if _spelled(name) in wanted]
    if not stated and not wanted & {_spelled(name) for name in stack.given_tags}:
        yield f"no tag says until when it is needed ({', '.join(setting.tags)})"
    for value in stated:
        day = re.match(r"\d{4}-\d{2}-\d{2}", str(value))
        if day and stack.today and day.group() < stack.today.isoformat():
            yield f"it was needed until {day.group()}"


def _lacks_own(kind: str, properties: Properties) -> Iterator[str]:
    if kind in {"pulumi:providers:aws", "pulumi:providers:gcp"}:
        cloud = kind.rpartition(":")[2]
        tags = default_tags(kind, properties)
    elif kind.startswith("azure-native:") and short_type(kind) in _OWN_AZURE:
        cloud, tags = "azure", _tags_of(properties.get("tags"))
    else:
        return
    missing = [tag_key(cloud, name) for name in _OWN if tag_key(cloud, name) not in tags]
    if missing:
        yield f"lacks the tags {', '.join(missing)}, by which it is found"


def default_tags(kind: str, properties: Properties) -> Mapping[str, Any]:
    """What a provider gives to each of its resources."""
    tags = properties.get("defaultTags" if kind.endswith(":aws") else "defaultLabels") or {}
    try:
        tags = json.loads(tags) if isinstance(tags, str) else tags
    except ValueError:
        return {}
    return _tags_of(tags.get("tags", tags) if isinstance(tags, Mapping) else None)


def _tags_of(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


MISSING_TAGS = ResourceRule(
    rule=Rule(
        id="missing-tags",
        group="safety",
        summary="A resource that costs money lacks a tag of `tags`, or has no tag at all.",
        why="Nobody can say whose it is, and nothing finds it when its state is lost.",
        setting=TagSetting,
    ),
    problems=_missing_tags,
)
MISSING_EXPIRY = ResourceRule(
    rule=Rule(
        id="missing-expiry",
        group="safety",
        level="off",
        summary="A resource that costs money has no tag that says until when it is needed, or that day has passed.",
        why="What was made for a week is paid for a year.",
        setting=ExpirySetting,
    ),
    problems=_missing_expiry,
)
