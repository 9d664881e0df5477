"""What pods may ask of a rented machine: its size by the price book, without what its cloud keeps for itself."""

from __future__ import annotations

from clusterctl.clouds.prices import shape_of
from clusterctl.errors import ClusterctlError

SPARE_CPUS, SPARE_GIB, SPARE_SHARE = 2.0, 4.0, 0.1
"""GKE keeps a quarter of the first 4 GiB, 7% of 128 GiB, and of larger machines less; EKS and AKS no more, and the
machine's own kernel takes 2 to 3%: https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes"""


def rented_size(cloud: str, instance_type: str) -> tuple[float, float] | None:
    """vCPUs and GiB; None for a machine that the book does not know."""
    try:
        cpus, memory_gib = shape_of(cloud, instance_type)
    except ClusterctlError:
        return None
    if cpus is None or memory_gib is None:
        return None
    return max(cpus - SPARE_CPUS, 1.0), max(memory_gib - max(SPARE_GIB, SPARE_SHARE * memory_gib), 1.0)
