"""What providers and clouds take where a program says nothing, each with the page that says so (read 2026-11).

A value taken from here is marked as assumed in the part that it prices.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A value, the words that say it in a bill, and where it is documented."""

    value: float | str
    words: str
    source: str


AWS_DOCS = "https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources"
GOOGLE_DOCS = "https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources"
AZURE_DOCS = "https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources"
AZURE_API = "https://learn.microsoft.com/rest/api"

EC2_ROOT_GIB = Default(
    value=8.0,
    words="8 GiB gp3, as Amazon Linux 2023 has it: the image's size is not in the preview",
    source="https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html",
)
EBS_TYPE = Default(value="gp2", words="gp2, the provider's default", source=f"{AWS_DOCS}/ebs_volume#type")
EKS_NODE_MACHINE = Default(
    value="t3.medium", words="t3.medium, the default of EKS", source=f"{AWS_DOCS}/eks_node_group#instance_types"
)
EKS_NODE_DISK_GIB = Default(
    value=20.0, words="20 GiB, the default of EKS", source=f"{AWS_DOCS}/eks_node_group#disk_size"
)
EKS_NODE_DISK_TYPE = Default(
    value="gp2",
    words="gp2, the default of EKS without a launch template",
    source="https://github.com/aws/containers-roadmap/issues/1417",
)
"""Windows nodes get 50 GiB."""
EKS_SUPPORT = Default(
    value="standard", words="a version in standard support", source="https://aws.amazon.com/eks/pricing"
)
FSX_LUSTRE_TYPE = Default(
    value="SCRATCH_1", words="SCRATCH_1, the default", source=f"{AWS_DOCS}/fsx_lustre_file_system#deployment_type"
)
GCE_BOOT_GIB = Default(
    value=10.0,
    words="10 GB, the size of Google's Linux images: the image's size is not in the preview",
    source=f"{GOOGLE_DOCS}/compute_instance#size",
)
GCE_DISK_TYPE = Default(
    value="pd-standard",
    words="pd-standard, the default of Compute Engine",
    source="https://cloud.google.com/compute/docs/reference/rest/v1/instances",
)
GKE_NODE_MACHINE = Default(
    value="e2-medium", words="e2-medium, the default of GKE", source=f"{GOOGLE_DOCS}/container_cluster#machine_type"
)
GKE_NODE_DISK_GB = Default(
    value=100.0, words="100 GB, the default of GKE", source=f"{GOOGLE_DOCS}/container_cluster#disk_size_gb"
)
GKE_NODE_DISK_TYPE = Default(
    value="pd-balanced",
    words="pd-balanced, the default of GKE since 1.24",
    source="https://cloud.google.com/kubernetes-engine/docs/how-to/custom-boot-disks",
)
GKE_ZONES = Default(
    value=3.0,
    words="3 zones, as GKE takes in a region",
    source="https://cloud.google.com/kubernetes-engine/docs/concepts/regional-clusters",
)
LOCAL_SSD_GB = Default(value=375.0, words="375 GB each", source="https://cloud.google.com/compute/docs/disks/local-ssd")
AKS_NODES = Default(
    value=1.0, words="1 node, the default of AKS", source=f"{AZURE_API}/aks/managed-clusters/create-or-update"
)
AKS_TIER = Default(
    value="free",
    words="the free tier, the default of AKS",
    source="https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers",
)
AKS_DISK = Default(
    value="managed",
    words="managed Premium SSD; AKS takes a free ephemeral disk where the machine's cache holds it",
    source="https://learn.microsoft.com/azure/aks/concepts-storage#default-os-disk-sizing",
)
AKS_DISK_GB = ((8.0, 128.0), (16.0, 256.0), (64.0, 512.0), (float("inf"), 1024.0))
"""Machines under so many vCPUs get an OS disk of so many GB: the page above."""
AKS_OUTBOUND = Default(
    value="loadBalancer",
    words="the outbound load balancer that AKS makes by default",
    source="https://learn.microsoft.com/azure/aks/egress-outboundtype",
)
AZURE_OS_DISK_GB = Default(
    value=30.0,
    words="30 GB, as Ubuntu's image has it: the image's size is not in the preview",
    source="https://learn.microsoft.com/azure/virtual-machines/linux/expand-disks",
)
AZURE_DISK_TYPE = Default(
    value="Premium_LRS",
    words="Premium SSD, which Azure takes where the machine can",
    source=f"{AZURE_API}/compute/virtual-machines/create-or-update",
)
AZURE_IP_SKU = Default(
    value="standard",
    words="Standard SKU: Basic addresses are retired",
    source="https://learn.microsoft.com/azure/virtual-network/ip-services/public-ip-basic-upgrade-guidance",
)
AZURE_LB_SKU = Default(
    value="standard",
    words="Standard SKU: Basic load balancers are retired",
    source="https://learn.microsoft.com/azure/load-balancer/load-balancer-basic-upgrade-guidance",
)
