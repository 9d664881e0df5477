"""How providers name what a program gives no name, and which ids they take for import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAMES = {
    "azure-native:containerservice:AgentPool": "agentPoolName",
    "azure-native:network:PublicIPAddress": "publicIpAddressName",
    "azure-native:containerservice:ManagedCluster": "resourceName",
    "azure-native:managedidentity:UserAssignedIdentity": "resourceName",
    "azure-native:managedidentity:FederatedIdentityCredential": "federatedIdentityCredentialResourceName",
    "azure-native:storage:StorageAccount": "accountName",
    "azure-native:storage:BlobContainer": "containerName",
    "aws:s3/bucketV2:BucketV2": "bucket",
    "aws:eks/nodeGroup:NodeGroup": "nodeGroupName",
    "azure-native:storage:BlobServiceProperties": "blobServicesName",
    "azure-native:authorization:RoleDefinition": "roleDefinitionId",
    "aws:eks/addon:Addon": "addonName",
    "gcp:serviceaccount/account:Account": "accountId",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "roleId",
}
"""By kind, the property that has the name; `name` on AWS and Google, else `virtualNetworkName` of a VirtualNetwork."""
NAMED_ON_AWS = ("Budget", "Cluster", "LaunchTemplate", "NodeGroup", "PlacementGroup", "Role", "RolePolicy", "BucketV2")
"""What AWS's provider gives a name with a random end, if the program gives none; the ids of others say nothing."""
SET = {
    "RolePolicyAttachment": ("role", "policyArn"),
    "IAMMember": ("project", "role", "member"),
    "CryptoKeyIAMMember": ("cryptoKeyId", "role", "member"),
    "BucketIAMMember": ("bucket", "role", "member"),
} | {
    f"Bucket{what}": ("bucket",)
    for what in (
        "LifecycleConfigurationV2",
        "Policy",
        "PublicAccessBlock",
        "ServerSideEncryptionConfigurationV2",
        "VersioningV2",
    )
}
"""Kinds that are set rather than made, by what: to set them again changes nothing."""


def name_property(kind: str) -> str | None:
    """Which property of a kind has its name; None where it has none."""
    package, _, rest = kind.partition(":")
    short = kind.rpartition(":")[2]
    if kind in NAMES:
        return NAMES[kind]
    if package == "azure-native":
        return f"{rest.rpartition(':')[2][0].lower()}{rest.rpartition(':')[2][1:]}Name"
    if package == "kubernetes" or short in SET or (package == "aws" and short not in NAMED_ON_AWS):
        return None
    return "name"


def is_id_of(identity: str, kind: str, given: Mapping[str, Any]) -> bool:
    """Whether an id, as a provider takes it for import, is that of the resource made from this: it ends with its name.

    Of a service account of Google's it ends with the account's address, of which the name is the first part.
    """
    key = name_property(kind)
    return key is not None and re.split(r"[/:]", identity)[-1].partition("@")[0] == given.get(key)
