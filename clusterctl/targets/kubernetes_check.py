"""Whether a namespace can have what a plan wants: rights, GPUs, nodes that are large enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.errors import Infeasible
from clusterctl.targets.kubernetes_api import Kubernetes, Object
from clusterctl.targets.kubernetes_errors import Forbidden
from clusterctl.targets.kubernetes_shell import PLACE, place_objects
from clusterctl.targets.slurm_tasks import node_size
from planners.plan.value import Plan, Pool

RIGHTS = (
    ("create", "pods"), ("create", "pods/exec"), ("create", "services"), ("create", "deployments.apps"),
    ("create", "persistentvolumeclaims"), ("create", "serviceaccounts"), ("create", "roles.rbac.authorization.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"), ("delete", "pods"),
)  # fmt: skip
"""What `up` does in a namespace."""
GPU = "nvidia.com/gpu"
MODEL_LABELS = (
    "skypilot.co/accelerator",
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "gpu.nvidia.com/class",
)
"""Labels that name a node's GPU, as SkyPilot reads them."""
SUFFIXES = {
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "G": 1e9,
    "M": 1e6,
    "T": 1e12,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesNode:
    """What a node can give."""

    gpus: int
    models: tuple[str, ...]
    cpus: float
    memory_gib: float

    def has_gpu(self, gpu: str) -> bool:
        """Whether its labels name this GPU."""
        wanted = re.sub(r"[^a-z0-9]", "", gpu.lower())
        return any(wanted in re.sub(r"[^a-z0-9]", "", model.lower()) for model in self.models)


def check_namespace(api: Kubernetes, plan: Plan) -> None:
    """Raises Forbidden or Infeasible with what is missing and the way on; Unreachable where nobody answers."""
    lacking = [f"{verb} {kind}" for verb, kind in RIGHTS if not api.may(verb, kind)]
    if lacking:
        grant = f"`kubectl create rolebinding NAME --namespace={api.namespace} --clusterrole=admin --user=YOU`"
        hint = f"an administrator grants them all: {grant}; docs/kubernetes.md lists the rights"
        raise Forbidden(f"{api.name}: you may not {', '.join(lacking)} in the namespace `{api.namespace}`", hint=hint)
    if api.get("apps/v1/deployments", PLACE) is None:
        # so that a refusal leaves nothing half made; a binding can't be tried before its role is there
        api.apply([item for item in place_objects(api) if item["kind"] != "RoleBinding"], dry_run=True)
    try:
        nodes = [node_of(item) for item in api.pages("/api/v1/nodes")]
    except Forbidden:
        return  # the scheduler says what does not fit
    for pool in plan.pools:
        if problem := why_not(pool, nodes, plan):
            hint = "compare fleet.machines with `kubectl get nodes -o wide` and `kubectl describe nodes`"
            raise Infeasible(f"{api.name}: {problem}", hint=hint)


def node_of(item: Object) -> KubernetesNode:
    """Of the API's object."""
    has, labels = item.get("status", {}).get("allocatable", {}), item["metadata"].get("labels", {})
    return KubernetesNode(
        gpus=int(quantity(has.get(GPU, "0"))),
        models=tuple(labels[label] for label in MODEL_LABELS if label in labels),
        cpus=quantity(has.get("cpu", "0")),
        memory_gib=quantity(has.get("memory", "0")) / 2**30,
    )


def why_not(pool: Pool, nodes: Sequence[KubernetesNode], plan: Plan) -> str:
    """Why a pool can't be had, ever; empty where it can."""
    fit = list(nodes)
    if pool.gpus_per_node:
        fit = [node for node in nodes if node.gpus >= pool.gpus_per_node and node.has_gpu(pool.gpu or "")]
        if not fit:
            have = sorted({f"{node.gpus}x {' or '.join(node.models) or 'GPU'}" for node in nodes if node.gpus})
            return f"no node has {pool.gpus_per_node}x {pool.gpu}; " + (
                f"there are {', '.join(have)}" if have else "no node has GPUs"
            )
    cpus, memory_gib = node_size(plan, pool)
    large = [node for node in fit if node.cpus >= cpus and node.memory_gib >= memory_gib]
    if not large:
        cores = max((node.cpus for node in fit), default=0.0)
        memory = max((node.memory_gib for node in fit), default=0.0)
        return f"no node has {cpus:g} vCPUs and {memory_gib:g} GiB; the largest have {cores:g} and {memory:.0f} GiB"
    if len(large) < pool.nodes:
        return f"{pool.id} wants {pool.nodes} nodes, and there are {len(large)} of that kind"
    return ""


def quantity(text: str) -> float:
    """`1500m`, `64Gi` as a number."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    return float(found[1]) * SUFFIXES.get(found[2], 1.0) if found else 0.0
