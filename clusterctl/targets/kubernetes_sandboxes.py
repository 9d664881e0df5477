"""The sandbox servers of a run: a Deployment of our own on CPU nodes, isolated, and filled in stages.

Kubernetes replaces a server that is lost.  A guard, a job with the run's deadline, takes all of it along at its end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.jobs import Job
from clusterctl.json_text import json_text
from clusterctl.targets.base import MachineRequest, RunRef
from clusterctl.targets.kubernetes_api import Kubernetes, Object
from clusterctl.targets.kubernetes_errors import Forbidden
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, TAGS_NOTE
from clusterctl.targets.kubernetes_manifests import (
    NO_SCHEDULE,
    label_value,
    next_replicas,
    objects,
    owned_by,
    run_labels,
)
from clusterctl.targets.kubernetes_pods import PodState, pod_state
from clusterctl.targets.kubernetes_shell import CLASS_VARIABLE, image
from clusterctl.targets.role_folder import RoleFolder
from clusterctl.targets.slurm_tasks import allowed_seconds, node_size
from planners.plan.value import Pool
from planners.runs.reconcile import InstancePhase

SANDBOX = "sandbox"
FOLDER = "/run/clusterctl"
"""Where the template mounts the files of the role."""
GVISOR_HANDLERS = ("runsc", "gvisor")
USER_NAMESPACES_SINCE = 33
"""Kubernetes 1.33 gives pods user namespaces of their own, in which bubblewrap can mount /proc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodIsolation:
    """How a sandbox server's pod is kept apart from its node."""

    kind: str
    """gvisor, or user namespaces with bubblewrap inside."""
    runtime_class: str = ""


def only_sandboxes(pool: Pool, jobs: Mapping[str, Job]) -> bool:
    """Whether a pool is for sandboxes alone: without GPUs the trainer runs on the same machines."""
    return {role for role, job in jobs.items() if job.pool_id == pool.id} == {SANDBOX}


def pod_isolation(api: Kubernetes) -> PodIsolation:
    """The best that the cluster has.  Raises ClusterctlError where it has nothing."""
    if named := os.environ.get(CLASS_VARIABLE):
        return PodIsolation(kind="gvisor", runtime_class=named)
    try:
        classes = list(api.pages("/apis/node.k8s.io/v1/runtimeclasses"))
    except Forbidden:
        classes = []
    for each in classes:
        if each["handler"] in GVISOR_HANDLERS:
            return PodIsolation(kind="gvisor", runtime_class=each["metadata"]["name"])
    if int(api.version["minor"].rstrip("+")) >= USER_NAMESPACES_SINCE:
        return PodIsolation(kind="user namespaces")
    raise ClusterctlError(
        f"{api.name} has nothing that isolates sandboxes: no runtime class of gVisor, no user namespaces before 1.33",
        hint=f"install gVisor (https://gvisor.dev/docs); {CLASS_VARIABLE} names its class",
    )


def make_servers(
    api: Kubernetes,
    run: RunRef,
    name: str,
    requests: Sequence[MachineRequest],
    job: Job,
    *,
    isolation: PodIsolation,
    node_selector: Mapping[str, str],
    ready: int,
    look_seconds: float,
    now: datetime,
    deadline: datetime | None,
) -> None:
    """Bring the servers of a pool nearer to their number; level-triggered: the same call again goes on."""
    seconds = allowed_seconds(run, now, deadline)
    labels = {**run_labels(run.run_id, SANDBOX, requests[0].pool.id), CLUSTER_LABEL: label_value(name)}
    tags = {
        "run": run.run_id,
        "pool": requests[0].pool.id,
        "n": requests[0].resource_id.rpartition("/")[2],
        "expires": f"{now.timestamp() + seconds:.0f}",
        "nodes": str(len(requests)),
        "restarts": "yes",
    }
    owner = _guard(api, name, labels, seconds)
    cpus, memory_gib = node_size(run.plan, requests[0].pool)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}}
    made = objects(
        SANDBOX,
        labels=labels,
        annotations={TAGS_NOTE: json_text(tags | {"expires": ""})},  # what changes would start all pods anew
        name=name,
        image=job.image or image(),
        run=label_value(run.run_id),
        port=next(iter(job.ports.values())),
        replicas=next_replicas(wanted=len(requests), ready=ready, nodes=len(requests), seconds=look_seconds),
        isolation=isolation.kind,
        runtime_class=isolation.runtime_class,
        tolerations=list(NO_SCHEDULE),
        node_selector=dict(node_selector),
        command=list(job.command),
        environment={
            **job.environment,
            "HOME": "/tmp",  # noqa: S108 - of the pod
            "CLUSTERCTL_RUN": run.run_id,
            "CLUSTERCTL_ROLE": SANDBOX,
            "CLUSTERCTL_FOLDER": FOLDER,
        },
        ready_path=job.ready_path,
        cpus=job.cpus or cpus,
        memory_gib=job.memory_gib or memory_gib,
        secret=name,
    )
    api.apply(owned_by([secret | {"stringData": dict(job.files)}, *made], owner))


def with_servers(
    folders: Sequence[RoleFolder], pods: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[RoleFolder, ...]:
    """Role folders of sandbox servers, with what their pods say in place of what `rank.py` writes."""
    servers: dict[str, list[PodState]] = {}
    for pod in pods:
        state = pod_state(pod)
        if state.phase not in {InstancePhase.ENDED, InstancePhase.ENDING}:
            servers.setdefault(state.labels.get(CLUSTER_LABEL, ""), []).append(state)
    for states in servers.values():
        states.sort(key=lambda state: (state.created, state.name))
    return tuple(_with_server(folder, servers.get(str(folder.job.get("cluster", "")), []), now) for folder in folders)


def ready_servers(folders: Sequence[RoleFolder], now: datetime) -> dict[str, str]:
    """By URL of each that is ready, its node."""
    return {
        url: str(folder.ranks[0].get("host", ""))
        for folder in folders
        if folder.job.get("role") == SANDBOX and folder.instance(now, None).phase is InstancePhase.READY
        if (url := folder.urls(""))
    }


def _with_server(folder: RoleFolder, states: Sequence[PodState], now: datetime) -> RoleFolder:
    index = int(folder.job.get("index", 0))
    if folder.job.get("role") != SANDBOX or folder.told or index >= len(states):
        return folder  # one that is told to end has nothing to save: it ends with its machines
    state = states[index]
    rank = {
        "phase": state.phase.value,
        "address": state.address,
        "host": state.node,
        "started": state.created.timestamp(),
        "beat": now.timestamp(),
        "message": state.message,
    }
    return replace(folder, ranks={0: rank})


def _guard(api: Kubernetes, name: str, labels: Mapping[str, str], seconds: float) -> Object | None:
    """The job whose end is the end of all that it owns; its deadline follows the run's."""
    found, wanted = api.get("batch/v1/jobs", name), max(int(seconds), 60)
    if found is None:
        api.apply(objects("guard", labels=labels, annotations={}, name=name, image=image(), seconds=wanted))
        return api.get("batch/v1/jobs", name)
    began = found.get("status", {}).get("startTime")
    if began is not None:
        since = datetime.fromisoformat(began.replace("Z", "+00:00"))
        lived = (datetime.now(tz=since.tzinfo) - since).total_seconds()
        if abs(lived + wanted - found["spec"]["activeDeadlineSeconds"]) > 60:
            api.patch("batch/v1/jobs", name, {"spec": {"activeDeadlineSeconds": int(lived) + wanted}})
    return found
