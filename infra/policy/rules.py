"""What every resource of a fleet keeps to, in one place: the policy pack and the tests ask the same rules.

A rule is given a resource's type and its properties, as Pulumi spells them.  Nothing of Pulumi is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planners.tags import tag_key

Properties = Mapping[str, Any]
SANDBOX = tag_key("kubernetes", "sandbox")
OPEN = {"0.0.0.0/0", "::/0", "*", "Internet"}
WAY_OUT = {("aws:ec2/routeTable:RouteTable", ".routes.cidrBlock")}
"""The one place where the whole internet may stand: how private nodes get out."""
FORBIDDEN_ROLES = (
    "roles/owner",
    "roles/editor",
    "AdministratorAccess",
    "PowerUserAccess",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Azure's Owner
    "b24988ac-6180-42a0-ab88-20f7382dd24c",  # Azure's Contributor
)
AZURE_TAGGED = [
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
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """problems: of one resource, as sentences; none where it keeps to the rule."""

    name: str
    description: str
    problems: Callable[[str, Properties], Iterator[str]]


def values(thing: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a resource's properties, with the way to it."""
    if isinstance(thing, Mapping):
        for name, value in thing.items():
            yield from values(value, f"{path}.{name}")
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from values(value, path)
    else:
        yield path, thing


def _short(kind: str) -> str:
    return kind.rpartition(":")[2]


def _tagged(kind: str, properties: Properties) -> Iterator[str]:
    wanted: Sequence[str] = ("run", "owner", "plan-id", "team", "budget")
    if kind in {"pulumi:providers:aws", "pulumi:providers:gcp"}:
        cloud = kind.rpartition(":")[2]
        tags = properties.get("defaultTags" if cloud == "aws" else "defaultLabels", {})
        tags = json.loads(tags) if isinstance(tags, str) else tags
        tags = tags.get("tags", tags)
    elif kind.startswith("azure-native:") and _short(kind) in AZURE_TAGGED:
        cloud, tags = "azure", properties.get("tags") or {}
    else:
        return
    missing = [tag_key(cloud, name) for name in wanted if tag_key(cloud, name) not in tags]
    if missing:
        yield f"lacks the tags {', '.join(missing)}, by which it is found"


def _closed(kind: str, properties: Properties) -> Iterator[str]:
    if kind.startswith("kubernetes:"):
        return
    for path, value in values(properties):
        if isinstance(value, str) and value in OPEN and (kind, path) not in WAY_OUT:
            if path.lower().endswith(("policy", ".principal", ".protocol", ".ipprotocol")):
                continue
            yield f"{path.lstrip('.')} is open to everybody ({value})"
        if re.search(r"(?i)(nodePublicIp|associatePublicIp|mapPublicIp)", path) and value is True:
            yield f"{path.lstrip('.')} gives machines addresses on the internet"
    if _api_is_open(kind, properties):
        yield "the cluster's API is open to everybody: name who may reach it (clusterctl:accessCidrs)"


def _api_is_open(kind: str, properties: Properties) -> bool:
    if kind == "aws:eks/cluster:Cluster":
        network = properties.get("vpcConfig", {})
        return bool(network.get("endpointPublicAccess")) and not network.get("publicAccessCidrs")
    if kind == "gcp:container/cluster:Cluster":
        return not properties.get("masterAuthorizedNetworksConfig")
    if kind == "azure-native:containerservice:ManagedCluster":
        access = properties.get("apiServerAccessProfile", {})
        return not access.get("enablePrivateCluster") and not access.get("authorizedIPRanges")
    return False


def _as_wanted(rule: str) -> Callable[[str, Properties], Iterator[str]]:
    """The lines of the table below that are of a rule."""

    def problems(kind: str, properties: Properties) -> Iterator[str]:
        for wanted in REQUIRED:
            if wanted.rule == rule and re.search(wanted.kind, kind) is not None:
                found: Any = properties
                for step in wanted.path.split("."):
                    found = found.get(step) if isinstance(found, Mapping) else None
                if found not in wanted.values:
                    yield f"{wanted.path} is {json.dumps(found, default=str)}: {wanted.why}"

    return problems


@dataclass(frozen=True, slots=True)
class Required:
    """A property, and the values that it may have."""

    rule: str
    kind: str
    """Of the resource, as a regular expression."""
    path: str
    values: Sequence[Any]
    why: str


AWS_CLUSTER, GKE_CLUSTER = r"^aws:eks/cluster:Cluster$", r"^gcp:container/cluster:Cluster$"
PUBLIC, SECRETS, CREDENTIALS = "may be made public", "secrets are not encrypted", "pods get the machine's credentials"
REQUIRED = (
    Required("buckets-closed", r":BucketPublicAccessBlock$", "blockPublicAcls", [True], PUBLIC),
    Required("buckets-closed", r":BucketPublicAccessBlock$", "blockPublicPolicy", [True], PUBLIC),
    Required("buckets-closed", r":BucketPublicAccessBlock$", "ignorePublicAcls", [True], PUBLIC),
    Required("buckets-closed", r":BucketPublicAccessBlock$", "restrictPublicBuckets", [True], PUBLIC),
    Required("buckets-closed", r"^gcp:storage/bucket:Bucket$", "publicAccessPrevention", ["enforced"], PUBLIC),
    Required("buckets-closed", r"^gcp:storage/bucket:Bucket$", "uniformBucketLevelAccess", [True], PUBLIC),
    Required("buckets-closed", r":StorageAccount$", "allowBlobPublicAccess", [False], PUBLIC),
    Required("buckets-closed", r":StorageAccount$", "allowSharedKeyAccess", [False], "whoever has the key gets in"),
    Required("buckets-closed", r":StorageAccount$", "networkRuleSet.defaultAction", ["Deny"], "every network gets in"),
    Required("encrypted", r":FileSystem$", "encrypted", [True], "its files are not encrypted"),
    Required("encrypted", AWS_CLUSTER, "encryptionConfig.resources", [["secrets"]], SECRETS),
    Required("encrypted", GKE_CLUSTER, "databaseEncryption.state", ["ENCRYPTED"], SECRETS),
    Required("encrypted", r":AgentPool$", "enableEncryptionAtHost", [True], "its disks are not encrypted at the host"),
    Required("encrypted", r":StorageAccount$", "enableHttpsTrafficOnly", [True], "it is reached without TLS"),
    Required("sandboxes-apart", r":LaunchTemplate$", "metadataOptions.httpTokens", ["required"], CREDENTIALS),
    Required("sandboxes-apart", r":LaunchTemplate$", "metadataOptions.httpPutResponseHopLimit", [1], CREDENTIALS),
    Required(
        "sandboxes-apart",
        r"^gcp:container/nodePool",
        "nodeConfig.workloadMetadataConfig.mode",
        ["GKE_METADATA"],
        CREDENTIALS,
    ),
)


def _encrypted(kind: str, properties: Properties) -> Iterator[str]:
    yield from _as_wanted("encrypted")(kind, properties)
    for device in properties.get("blockDeviceMappings", ()) if _short(kind) == "LaunchTemplate" else ():
        if str(device.get("ebs", {}).get("encrypted")).lower() != "true":
            yield "a disk of its machines is not encrypted"


def _least_privilege(kind: str, properties: Properties) -> Iterator[str]:
    for path, value in values(properties):
        if path.lower().endswith("policy") and str(value).startswith("{"):
            for statement in json.loads(value)["Statement"]:
                yield from _statement_problems(statement)
        elif re.fullmatch(r"\.(role|roleDefinitionId|policyArn)", path) and str(value).endswith(FORBIDDEN_ROLES):
            yield f"{path.lstrip('.')} is a right to everything ({value})"
    lists = [properties.get("permissions", ())] if _short(kind) in {"IAMCustomRole", "RoleDefinition"} else []
    lists += [rule.get("verbs", ()) for rule in properties.get("rules", ()) if kind.startswith("kubernetes:rbac")]
    lists += [rule.get("resources", ()) for rule in properties.get("rules", ()) if kind.startswith("kubernetes:rbac")]
    for _, value in values(lists):
        if "*" in str(value):
            yield f"{value} is a right to more than is named"


def _statement_problems(statement: Mapping[str, Any]) -> Iterator[str]:
    if statement["Effect"] != "Allow":
        return
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    wide = [action for action in actions if "*" in action]
    if wide:
        yield f"{', '.join(wide)} is a right to more than is named"
    everything = statement.get("Resource") in ("*", ["*"])
    looks = all(action.partition(":")[2].startswith("Describe") for action in actions)
    if everything and not (looks and "Condition" in statement):
        yield f"{', '.join(actions)} is allowed on everything"


def _sandboxes_apart(kind: str, properties: Properties) -> Iterator[str]:
    yield from _as_wanted("sandboxes-apart")(kind, properties)
    is_pool = re.search(r"(NodeGroup|NodePool|AgentPool)$", kind) is not None
    if not is_pool or SANDBOX not in json.dumps(_labels(properties), default=str):
        return
    if SANDBOX not in json.dumps(_taints(properties), default=str):
        yield "nothing keeps other pods off the sandbox nodes: it has no taint"
    gvisor = properties.get("nodeConfig", {}).get("sandboxConfig", {}).get("sandboxType") == "gvisor"
    if (kind.startswith("gcp:") and not gvisor) or (
        kind.startswith("azure") and properties.get("workloadRuntime") != "KataVmIsolation"
    ):
        yield "sandboxes share the kernel of their node"


def _labels(properties: Properties) -> Any:
    return properties.get("labels") or properties.get("nodeLabels") or properties.get("nodeConfig", {}).get("labels")


def _taints(properties: Properties) -> Any:
    return properties.get("taints") or properties.get("nodeTaints") or properties.get("nodeConfig", {}).get("taints")


RULES = tuple(
    Rule(name=name, description=description, problems=problems)
    for name, description, problems in (
        ("tagged", "Everything is found by its tags, without any state.", _tagged),
        ("closed", "Nothing is reached from the internet, and no CIDR is open.", _closed),
        ("buckets-closed", "No bucket is or may be made public.", _as_wanted("buckets-closed")),
        ("encrypted", "Whatever holds data is encrypted.", _encrypted),
        ("least-privilege", "Nobody has a right to everything.", _least_privilege),
        ("sandboxes-apart", "Sandboxes have nodes of their own and no credentials.", _sandboxes_apart),
    )
)


def problems(kind: str, properties: Properties) -> list[str]:
    """All that is wrong with a resource."""
    return [f"{rule.name}: {problem}" for rule in RULES for problem in rule.problems(kind, properties)]
