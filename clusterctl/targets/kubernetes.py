"""A Kubernetes namespace as a target: SkyPilot makes the pods of each pool and starts the roles on them.

As on Slurm, what is there the scheduler and the ranks themselves say.  The run's folder is on a volume that all pods
mount, the supervisor is a Deployment, and SkyPilot's server runs beside it with the namespace's service account.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.specfile.write import write_atomic
from clusterctl.targets.base import Observed, Pace, RunRef
from clusterctl.targets.kubernetes_api import Kubernetes, require_context
from clusterctl.targets.kubernetes_check import check_namespace
from clusterctl.targets.kubernetes_errors import Forbidden, NotThere
from clusterctl.targets.kubernetes_gang_watch import GangWatch
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, PodGang
from clusterctl.targets.kubernetes_manifests import ROLE_LABEL
from clusterctl.targets.kubernetes_place import NAMESPACE_FILE, KubernetesPlace
from clusterctl.targets.kubernetes_sandboxes import (
    SANDBOX,
    PodIsolation,
    make_servers,
    only_sandboxes,
    pod_isolation,
    ready_servers,
    with_servers,
)
from clusterctl.targets.kubernetes_shell import (
    PLACE,
    POOL_IMAGE_VARIABLE,
    QUEUE_VARIABLE,
    ROOT,
    KubernetesSupervisors,
    PodShell,
    image,
)
from clusterctl.targets.kubernetes_tasks import exec_task, kubeconfig, launch_task, preview_lines
from clusterctl.targets.places import remember
from clusterctl.targets.remote_home import RemoteHome
from clusterctl.targets.sandbox_meter import SandboxMeter
from clusterctl.targets.shell import LocalShell, Shell
from clusterctl.targets.sky_client import SkyPilot
from clusterctl.targets.slurm import SlurmTarget
from clusterctl.targets.slurm_access import in_place
from clusterctl.targets.slurm_run import SlurmRun
from planners.plan.value import Plan, Pool
from planners.runs.reconcile import InstancePhase

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

PYTHON = "/opt/clusterctl/bin/python3"
"""Of our image."""
GANGS = "gangs.json"
QUEUES = [f"kueue.x-k8s.io/{version}/localqueues" for version in ("v1beta2", "v1beta1")]


class KubernetesHome(RemoteHome):
    """A Deployment of the namespace, watched from here."""

    def __init__(self, store: Path, shell: Shell, api: Kubernetes) -> None:
        super().__init__(store, shell, KubernetesSupervisors(api), ROOT, python=PYTHON)
        self.shell, self._api = shell, api

    def adopt(self, ledger: Ledger, run_id: str) -> bool:
        """Where there is no volume there was no run; and nothing is made to find that out."""
        return self._api.get("v1/persistentvolumeclaims", PLACE) is not None and super().adopt(ledger, run_id)


class KubernetesTarget(SlurmTarget):
    """One context, and the namespace that it names."""

    pace = Pace(observe_seconds=4.0, bound_seconds=10.0, appear_seconds=240.0)
    kind, has_containers = "kubernetes", True

    def __init__(self, store: Path, context: str, *, api: Kubernetes | None = None) -> None:
        super().__init__(store, context, shell=LocalShell())
        namespace = NAMESPACE_FILE.read_text("ascii").strip() if in_place() else ""
        self.api = api or Kubernetes("" if in_place() else context, namespace=namespace)
        self.place = KubernetesPlace(LocalShell() if in_place() else PodShell(self.api))
        self._gangs: dict[str, GangWatch] = {}
        self._meters: dict[str, SandboxMeter] = {}
        if not in_place():
            self.home = KubernetesHome(store, self.place.shell, self.api)

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:  # noqa: ARG002 - what is there stays there
        """Refuses what no template can launch, and what the namespace lacks: an image, rights, GPUs, large nodes."""
        self._check_jobs(plan)
        if not in_place() and self.api.context == self.cluster:
            require_context(self.api)
        image()
        check_namespace(self.api, plan)
        remember(f"{self.kind}:{self.cluster}", self.store, root=ROOT)

    def preview(self, plan: Plan, *, seconds: float | None) -> Sequence[str]:
        """Pods for each pool, and a Deployment for the supervisor."""
        return preview_lines(plan, seconds)

    def observe(self, run: RunRef) -> Observed:
        """As on Slurm; sandbox servers are what their pods say."""
        state = self._state(run)
        seen = self.place.look(run.run_id, ready=state.became_ready(), deadline=state.deadline, history=False)
        pods = list(self.api.items("v1/pods", labelSelector=f"{CLUSTER_LABEL},{ROLE_LABEL}={SANDBOX}"))
        ready = {job.name for job in seen.jobs if "restarts" in job.tags and job.phase is InstancePhase.STARTING}
        folders = with_servers(seen.folders, pods, seen.now)
        shown = [gang for gang in seen.jobs if isinstance(gang, PodGang) and gang.tags.get("run") == run.run_id]
        if run.run_id not in self._gangs:
            self._gangs[run.run_id] = GangWatch(run.folder / GANGS, self._deleted)
        gangs = self._gangs[run.run_id].with_gone(shown, seen.ready, seen.now)
        return state.observed(replace(seen, jobs=gangs, folders=folders, ready=seen.ready | ready))

    def fetch(self, run: RunRef) -> None:
        """Also what the sandbox servers say of their queues: no agent is beside them."""
        from clusterctl.jobs.quickstart import run_token

        super().fetch(run)
        seen = self._state(run).seen
        if seen is not None and in_place():
            if run.run_id not in self._meters:
                self._meters[run.run_id] = SandboxMeter(run, run_token(run.folder))
            self._meters[run.run_id].follow(ready_servers(seen.folders, seen.now))

    def _deleted(self, version: str) -> Sequence[Mapping[str, Any]]:
        return self.api.deleted("v1/pods", version, labelSelector=CLUSTER_LABEL)

    def _make(self, run: RunRef, state: SlurmRun, name: str) -> None:
        """Sandbox servers by a Deployment; everything else by SkyPilot."""
        requests = state.requests[name]
        jobs = self.jobs(run, {})
        if not only_sandboxes(requests[0].pool, jobs):
            super()._make(run, state, name)
            return
        assert state.seen is not None
        live = [folder for folder in state.seen.folders if folder.job.get("cluster") == name and folder.ranks]
        make_servers(
            self.api,
            run,
            name,
            requests,
            jobs[SANDBOX],
            isolation=self._isolation,
            node_selector=self.node_selector(requests[0].pool),
            ready=sum(folder.ranks[0]["phase"] == InstancePhase.READY.value for folder in live),
            look_seconds=self.pace.observe_seconds,
            now=state.seen.now,
            deadline=state.deadline,
        )

    def node_selector(self, pool: Pool) -> Mapping[str, str]:  # noqa: ARG002 - for those who have pools of nodes
        """Labels of the nodes on which pods of a pool may run."""
        return {}

    def _start(self, run: RunRef, state: SlurmRun, role: str, row: Mapping[str, Any]) -> None:
        """The Deployment starts sandbox servers itself."""
        name = str(row["cluster"])
        if name not in state.requests or not only_sandboxes(state.requests[name][0].pool, self.jobs(run, {})):
            super()._start(run, state, role, row)

    @cached_property
    def _isolation(self) -> PodIsolation:
        return pod_isolation(self.api)

    def launch_task(self, run: RunRef, state: SlurmRun, name: str) -> dict[str, Any]:
        """Pods for a pool, with the image that its roles name."""
        assert state.seen is not None
        requests, jobs = state.requests[name], self.jobs(run, {}).values()
        images = [job.image for job in jobs if job.pool_id == requests[0].pool.id and job.image]
        return launch_task(
            run,
            context=self.cluster,
            name=name,
            requests=requests,
            image=images[0] if images else os.environ.get(POOL_IMAGE_VARIABLE, ""),
            queue=self._queue,
            node_selector=self.node_selector(requests[0].pool),
            now=state.seen.now,
            deadline=state.deadline,
        )

    def exec_task(
        self, state: SlurmRun, name: str, *, role: str, command: str, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A job of those pods; SkyPilot chooses among them."""
        pool = state.requests[name][0].pool
        return exec_task(self.cluster, pool, role=role, command=command, row=row)

    def environment(self) -> dict[str, str]:
        """A role's home is its pod's own."""
        return {"CLUSTERCTL_ENVS": f"{self.place.root}/envs"}

    def skypilot(self, home: Path, user: str) -> SkyPilot:
        """A server with the service account of this pod, or with what the user's kubeconfig says."""
        if in_place():
            (home / ".kube").mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(home / ".kube" / "config", kubeconfig(self.cluster, self.api.namespace))
        return SkyPilot(home, user)

    @cached_property
    def _queue(self) -> str:
        """The namespace's queue of Kueue; empty where it has none, or several and nobody chose."""
        if chosen := os.environ.get(QUEUE_VARIABLE):
            return chosen
        for kind in QUEUES:
            with suppress(NotThere, Forbidden):
                found = [queue["metadata"]["name"] for queue in self.api.items(kind)]
                return found[0] if len(found) == 1 else ""
        return ""
