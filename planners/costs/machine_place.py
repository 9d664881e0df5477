"""Where a machine is, and of which type, as far as its name and its labels in Kubernetes say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PROVIDER_IDS = (
    (re.compile(r"aws:///(?P<zone>[a-z0-9-]+)/"), "aws"),
    (re.compile(r"gce://[^/]+/(?P<zone>[a-z0-9-]+)/"), "gcp"),
    (re.compile(r"azure://"), "azure"),
)
"""`spec.providerID` of a node, as the clouds' controllers write it: kube-state-metrics passes it on in `kube_node_info`
(cloud-provider-aws `pkg/providers/v1/instances.go`, cloud-provider-gcp `providers/gce/gce_instances.go`)."""
_NAMES = (
    (re.compile(r"ip-\d+-\d+-\d+-\d+\.(?P<region>[a-z]+(-[a-z]+)+-\d)\.compute\.internal"), "aws", None),
    (re.compile(r"i-[0-9a-f]{17}\.(?P<region>[a-z]+(-[a-z]+)+-\d)\.compute\.internal"), "aws", None),
    (re.compile(r"(ip-\d+-\d+-\d+-\d+|i-[0-9a-f]{17})\.ec2\.internal"), "aws", "us-east-1"),
    (re.compile(r".+\.(?P<zone>[a-z]+-[a-z]+\d+-[a-z])\.c\..+\.internal"), "gcp", None),
    (re.compile(r"gke-.+-[0-9a-f]{8}-[a-z0-9]{4}"), "gcp", None),
    (re.compile(r"aks-.+-\d{8}-vmss[0-9a-z]{6}"), "azure", None),
    (re.compile(r".+\.internal\.cloudapp\.net"), "azure", None),
)
"""Host names that only one cloud gives: EC2's private DNS names (in us-east-1 without the region), Compute Engine's
zonal DNS names, nodes of GKE, nodes of AKS, Azure's internal DNS names.  Any other name says nothing certain."""
REGION_LABELS = ("topology_kubernetes_io_region", "failure_domain_beta_kubernetes_io_region")
TYPE_LABELS = ("node_kubernetes_io_instance_type", "beta_kubernetes_io_instance_type")
"""Well-known labels of nodes, as kube-state-metrics spells them (without its prefix `label_`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePlace:
    """What is known of where a machine is; None = nobody says it."""

    cloud: str | None = None
    region: str | None = None
    instance_type: str | None = None
    known_by: str | None = None
    """What says it, for people: `its provider id`, `its name`."""


def place_of(node: str, labels: Mapping[str, str]) -> MachinePlace:
    """The place of a machine by its labels, else by its name.  Nothing is guessed from what is merely usual.

    labels: of `kube_node_info` (`provider_id`) and `kube_node_labels` (without `label_`).
    """
    region = next((labels[name] for name in REGION_LABELS if labels.get(name)), None)
    instance_type = next((labels[name] for name in TYPE_LABELS if labels.get(name)), None)
    for pattern, cloud in _PROVIDER_IDS:
        if found := pattern.match(labels.get("provider_id", "")):
            region = region or _region(found, cloud)
            return MachinePlace(cloud=cloud, region=region, instance_type=instance_type, known_by="its provider id")
    for pattern, cloud, usual in _NAMES:
        if found := pattern.fullmatch(node):
            region = region or _region(found, cloud) or usual
            return MachinePlace(cloud=cloud, region=region, instance_type=instance_type, known_by="its name")
    return MachinePlace(
        region=region, instance_type=instance_type, known_by="its labels" if region or instance_type else None
    )


def _region(found: re.Match[str], cloud: str) -> str | None:
    parts = found.groupdict()
    if parts.get("region"):
        return parts["region"]
    zone = parts.get("zone")
    if not zone:
        return None
    return re.sub(r"[a-z]$", "", zone) if cloud == "aws" else zone.rpartition("-")[0]
