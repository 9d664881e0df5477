"""What a cloud has made of a fleet: how to get in, and what the cluster still lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from infra.node_fleet import JOBS, Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A cluster with its pools and its bucket, on any cloud."""

    cluster: pulumi.Input[str]
    endpoint: pulumi.Input[str]
    """URL of its API."""
    certificate: pulumi.Input[str]
    """Of the authority that signs the API's certificate: PEM, in base64."""
    token_command: pulumi.Input[list[str]]
    """Prints the caller's credential for the API, as `kubectl` wants it."""
    bucket: pulumi.Input[str]
    account: pulumi.Input[str]
    """AWS account, project of Google Cloud, subscription of Azure."""
    zone: pulumi.Input[str]
    """Of the nodes."""
    groups: Mapping[str, pulumi.Input[str]]
    """The cloud's own names of the pools, by ours."""
    resource_group: pulumi.Input[str] = ""
    sandbox_class: Mapping[str, Any]
    """Runtime that keeps a sandbox apart: fields of a RuntimeClass."""
    storage_class: Mapping[str, pulumi.Input[Any]]
    """What nodes share: fields of a StorageClass."""
    supervisor_note: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Annotations by which the cloud knows the supervisor's service account."""
    jobs_note: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    device_plugins: tuple[str, ...] = ()
    """Those that the cloud doesn't install itself: nvidia, efa."""


def outputs_of(fleet: Fleet, made: Made) -> dict[str, pulumi.Input[Any]]:
    """What `clusterctl` reads of a stack, field by field (clusterctl/fleet/outputs.py)."""
    return {
        "cloud": fleet.cloud,
        "region": fleet.region,
        "zone": made.zone,
        "cluster": made.cluster,
        "endpoint": made.endpoint,
        "certificate": made.certificate,
        "bucket": made.bucket,
        "namespace": fleet.name_in_cluster,
        "service_account": JOBS,
        "runtime_class": fleet.name_in_cluster,
        "storage_class": fleet.name_in_cluster,
        "account": made.account,
        "resource_group": made.resource_group,
        "pools": [
            {
                "pool_id": pool.pool_ids[0],
                "pool_ids": list(pool.pool_ids),
                "name": pool.name,
                "group": made.groups[pool.name],
                "most_nodes": pool.most_nodes,
                "instance_type": pool.instance_type,
                "capacity_type": pool.capacity_type,
                "zone": made.zone,
            }
            for pool in fleet.pools
        ],
    }
