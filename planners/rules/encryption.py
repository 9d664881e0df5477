"""The rule on disks, file systems and databases that are not encrypted.

Only what a cloud leaves unencrypted: disks, EFS and databases of AWS.  Google Cloud and Azure encrypt all that rests
(https://cloud.google.com/docs/security/encryption/default-encryption,
https://learn.microsoft.com/azure/virtual-machines/disk-encryption-overview), and so do S3 since 2023-01, FSx, DynamoDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from planners.rules.public_storage import Required, lacking
from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    SafetySetting,
    StackFacts,
    at,
    is_false,
    is_true,
    is_unknown,
    mappings,
    plain_type,
    short_type,
)


class EncryptionSetting(SafetySetting):
    """`unencrypted-data`."""

    disks_encrypted_by_default: bool = Field(
        False, description="The AWS account encrypts new disks by itself, so that none has to say it."
    )


_SECRETS = "secrets are not encrypted"
_STRICT = (
    Required(r":FileSystem$", "encrypted", [True], "its files are not encrypted"),
    Required(r"^aws:eks/cluster:Cluster$", "encryptionConfig.resources", [["secrets"]], _SECRETS),
    Required(r"^gcp:container/cluster:Cluster$", "databaseEncryption.state", ["ENCRYPTED"], _SECRETS),
    Required(r":AgentPool$", "enableEncryptionAtHost", [True], "its disks are not encrypted at the host"),
    Required(r":StorageAccount$", "enableHttpsTrafficOnly", [True], "it is reached without TLS"),
)
_STORES = {
    "aws:efs/fileSystem:FileSystem": "encrypted",
    "aws:rds/instance:Instance": "storageEncrypted",
    "aws:rds/cluster:Cluster": "storageEncrypted",
    "aws:docdb/cluster:Cluster": "storageEncrypted",
    "aws:neptune/cluster:Cluster": "storageEncrypted",
    "aws:elasticache/replicationGroup:ReplicationGroup": "atRestEncryptionEnabled",
    "aws:opensearch/domain:Domain": "encryptAtRest.enabled",
    "aws:elasticsearch/domain:Domain": "encryptAtRest.enabled",
}
"""What is unencrypted unless it says so, and the field that says it."""
_INHERITS = (
    "snapshotId",
    "snapshotIdentifier",
    "replicateSourceDb",
    "replicationSourceIdentifier",
    "globalReplicationGroupId",
)
"""With one of these it is encrypted as its source is."""
_MACHINES = ("Instance", "SpotInstanceRequest", "LaunchConfiguration")


def _unencrypted(kind: str, properties: Properties, setting: EncryptionSetting, stack: StackFacts) -> Iterator[str]:
    kind = plain_type(kind)
    if setting.strict:
        yield from lacking(_STRICT, kind, properties)
    elif kind in _STORES and not any(properties.get(name) for name in _INHERITS):
        stated = at(properties, _STORES[kind])
        serverless = properties.get("engineMode") == "serverless"
        if not is_true(stated) and not is_unknown(stated) and not serverless:
            yield f"{_STORES[kind]} is not set: what it holds is not encrypted"
    if setting.strict or not (setting.disks_encrypted_by_default or stack.disks_encrypted_by_default):
        yield from _disks(kind, properties)
    https = ("enableHttpsTrafficOnly", "httpsTrafficOnlyEnabled")
    if not setting.strict and short_type(kind) in {"StorageAccount", "Account"} and kind.startswith("azure"):
        yield from (f"{name} is false: it is reached without TLS" for name in https if is_false(properties.get(name)))


def _disks(kind: str, properties: Properties) -> Iterator[str]:
    unless = "unless the account does it by itself"
    if kind == "aws:ebs/volume:Volume" and _is_open(properties):
        yield f"encrypted is not set: the disk is not encrypted, {unless}"
    elif kind.startswith("aws:ec2/") and short_type(kind) in _MACHINES:
        root = properties.get("rootBlockDevice")
        roots = [] if is_unknown(root) else mappings(root) or [{}]
        if any(_is_open(device) for device in roots):
            yield "its root disk is not encrypted, unless the account or its image does it by itself"
        if any(_is_open(device) for device in mappings(properties.get("ebsBlockDevices"))):
            yield f"a disk of it is not encrypted, {unless}"
    elif kind == "aws:ec2/launchTemplate:LaunchTemplate":
        devices = [mapping["ebs"] for mapping in mappings(properties.get("blockDeviceMappings")) if mapping.get("ebs")]
        yield from ("a disk of its machines is not encrypted" for device in mappings(devices) if _is_open(device))
    elif kind.startswith("kubernetes:storage.k8s.io/") and _is_open_class(properties):
        yield f"parameters.encrypted is not set: its disks are not encrypted, {unless}"


def _is_open_class(properties: Properties) -> bool:
    return properties.get("provisioner") == "ebs.csi.aws.com" and _is_open(properties.get("parameters"))


def _is_open(disk: Any) -> bool:
    """Whether a disk is neither encrypted nor made of a snapshot, as which it is encrypted."""
    stated = at(disk, "encrypted")
    return not is_true(stated) and not is_unknown(stated) and not at(disk, "snapshotId")


UNENCRYPTED_DATA = ResourceRule(
    rule=Rule(
        id="unencrypted-data",
        group="safety",
        summary="A disk, file system or database isn't encrypted where its cloud doesn't do it by itself.",
        why="Snapshots and discarded disks then show weights, data and secrets.",
        setting=EncryptionSetting,
    ),
    problems=_unencrypted,
)
