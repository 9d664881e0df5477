"""What SkyPilot is asked for on Kubernetes: pods for a pool, all at once, and a job on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from clusterctl.json_text import json_text
from clusterctl.targets.base import MachineRequest, RunRef
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, TAGS_NOTE
from clusterctl.targets.kubernetes_manifests import NO_SCHEDULE, label_value, run_labels
from clusterctl.targets.kubernetes_shell import PLACE, ROOT
from clusterctl.targets.slurm_tasks import GRACE_SECONDS, LONGEST_SECONDS, allowed_seconds, node_size
from planners.plan.value import Plan, Pool

SILENT_SECONDS = 120
"""For a node to be heard of again until Kubernetes gives its pods up; without a word five minutes, which are paid."""
SILENT_NODE = tuple(
    {
        "key": f"node.kubernetes.io/{state}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": SILENT_SECONDS,
    }
    for state in ("unreachable", "not-ready")
)
ACCOUNT = "default"
"""Service account of roles: one without any right."""


def launch_task(
    run: RunRef,
    *,
    context: str,
    name: str,
    requests: Sequence[MachineRequest],
    image: str,
    queue: str,
    node_selector: Mapping[str, str],
    now: datetime,
    deadline: datetime | None,
) -> dict[str, Any]:
    """Pods without a job, which Kubernetes itself ends at the run's limit.  queue: Kueue's, which holds gangs back.

    node_selector: labels of the nodes on which they may run.
    """
    pool = requests[0].pool
    cpus, memory_gib = node_size(run.plan, pool)
    seconds = allowed_seconds(run, now, deadline)
    tags = {
        "run": run.run_id,
        "pool": pool.id,
        "n": requests[0].resource_id.rpartition("/")[2],
        "expires": f"{now.timestamp() + seconds:.0f}",
        "nodes": str(len(requests)),
    }
    labels = {CLUSTER_LABEL: label_value(name), **run_labels(run.run_id, pool.role, pool.id)}
    # SkyPilot labels the pods for the queue, as one group, which Kueue lets go as a whole
    kueue = {"kueue": {"local_queue_name": queue, "admission_timeout": -1}} if queue else {}
    resources: dict[str, Any] = {"infra": f"kubernetes/{context}", "cpus": cpus, "memory": memory_gib}
    if pool.gpus_per_node:
        resources["accelerators"] = f"{pool.gpu}:{pool.gpus_per_node}"
    if image:
        resources["image_id"] = f"docker:{image}"
    return {
        "name": name,
        "num_nodes": len(requests),
        "resources": resources,
        "config": {
            "kubernetes": {
                "provision_timeout": -1,  # as long as it takes: the run's own limits hold
                "remote_identity": ACCOUNT,
                "custom_metadata": {"labels": labels, "annotations": {TAGS_NOTE: json_text(tags)}},
                "pod_config": {"spec": _pod(min(seconds, LONGEST_SECONDS), node_selector)},
                **kueue,
            }
        },
    }


def preview_lines(plan: Plan, seconds: float | None) -> Sequence[str]:
    """What Kubernetes will be asked for.  seconds: until a limit must be reached."""
    most = LONGEST_SECONDS if seconds is None else min(seconds + GRACE_SECONDS, LONGEST_SECONDS)
    asked = []
    for pool in plan.pools:
        cpus, memory_gib = node_size(plan, pool)
        gpus = f", {pool.gpus_per_node} × {pool.gpu}" if pool.gpus_per_node else ""
        count = f"{pool.nodes} pod{'s' * (pool.nodes > 1)}, a node each"
        price = pool.usd_per_node_hour
        at = "a price that nobody has stated" if price is None else f"${price:g} a node-hour"
        size = f"{cpus:g} CPUs, {memory_gib:g} GiB{gpus}"
        asked.append(f"{pool.stage} {pool.role}: {count}: {size}, activeDeadlineSeconds {most:.0f}, at {at}")
    return [*asked, "supervisor: a Deployment of 0.5 CPUs, 3 GiB, unpaid, until the run has ended"]


def _pod(seconds: float, node_selector: Mapping[str, str]) -> dict[str, Any]:
    """What SkyPilot's pods have beside its own: the volume of the runs, no rights, an end."""
    mount = {"name": PLACE, "mountPath": ROOT}
    return ({"nodeSelector": dict(node_selector)} if node_selector else {}) | {
        "activeDeadlineSeconds": max(int(seconds), 60),
        "automountServiceAccountToken": False,
        "tolerations": [*NO_SCHEDULE, *SILENT_NODE],  # of GPU nodes: some clusters add it themselves
        "containers": [{"imagePullPolicy": "IfNotPresent", "volumeMounts": [mount]}],
        "volumes": [{"name": PLACE, "persistentVolumeClaim": {"claimName": PLACE}}],
    }


def exec_task(context: str, pool: Pool, *, role: str, command: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A job of the pods: the ranks of a role.  row: its `job.json`."""
    resources: dict[str, Any] = {"infra": f"kubernetes/{context}"}
    if gpus := int(row["gpus_per_node"]):
        resources["accelerators"] = f"{pool.gpu}:{gpus}"
    return {"name": role, "num_nodes": int(row["nodes"]), "resources": resources, "run": f"exec {command}"}


def kubeconfig(context: str, namespace: str) -> str:
    """Of a pod's own service account, under the name that the plan has for the place."""
    secrets = "/var/run/secrets/kubernetes.io/serviceaccount"
    config: Mapping[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {
                "name": context,
                "cluster": {"server": "https://kubernetes.default.svc", "certificate-authority": f"{secrets}/ca.crt"},
            }
        ],
        "users": [{"name": context, "user": {"tokenFile": f"{secrets}/token"}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": namespace}}],
    }
    return json_text(config)  # which is YAML, too
