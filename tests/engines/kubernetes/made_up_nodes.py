"""Nodes of kwok: as GPU operator, GKE and EKS label them, with eight H100 each, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from control_plane import ControlPlane

ANNOTATION = {"kwok.x-k8s.io/node": "fake"}
GPU_LABELS = {
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.count": "8",
    "skypilot.co/accelerator": "h100",
}
CHUNK = 100


def node(name: str, *, gpus: int = 0, cpus: int = 192, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A node as an object."""
    capacity = {"cpu": str(cpus), "memory": "2Ti", "pods": "110", "ephemeral-storage": "4Ti"}
    capacity |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
    marks = (
        {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"} | (GPU_LABELS if gpus else {}) | (labels or {})
    )
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": marks, "annotations": ANNOTATION},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def create(plane: ControlPlane, objects: Iterable[dict[str, Any]]) -> None:
    """Many objects, in chunks side by side: one kubectl for each would be slower than the API server."""
    items = list(objects)

    def some(start: int) -> None:
        given = {"apiVersion": "v1", "kind": "List", "items": items[start : start + CHUNK]}
        plane.kubectl("create", "-f", "-", "--validate=false", given=json.dumps(given))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(0, len(items), CHUNK)))
