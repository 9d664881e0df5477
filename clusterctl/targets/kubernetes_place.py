"""What is there of a run in a namespace: its pools' pods, and the run's folder on the volume that all of them mount."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterctl.targets.accounting import Use
from clusterctl.targets.kubernetes_accounting import SOURCE, pod_use
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, PodGang, parse_gangs
from clusterctl.targets.kubernetes_shell import ROOT, WORKLOADS
from clusterctl.targets.shell import Shell
from clusterctl.targets.slurm_jobs import SlurmJob
from clusterctl.targets.slurm_place import ACT_SECONDS, SlurmPlace

SPLIT = "\x1d"
GRACE_SECONDS = 5
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WARNINGS = "events?fieldSelector=involvedObject.kind=Pod,type=Warning&limit=500"
LISTING = f"""ns=/api/v1/namespaces/$(cat {NAMESPACE_FILE}) || exit 12
pods=$(kubectl get --raw "$ns/pods?labelSelector={CLUSTER_LABEL}") || exit 12
printf '%s\\035' "$pods"
kubectl get --raw "$ns/{WARNINGS}" || exit 12
printf '\\035'
case $pods in *'"schedulingGates"'*) kubectl get {WORKLOADS} -o json 2>/dev/null || true ;; esac"""
KINDS = "jobs,deployments,networkpolicies,secrets,pods,services"
"""Of objects that an allocation may have."""
MOST_LETTERS = 33
"""Of a cluster's name: Kubernetes takes 42 with SkyPilot's user id."""


class KubernetesPlace(SlurmPlace):
    """The shell is in a pod of the namespace, with the namespace's service account."""

    most_letters, accounting = MOST_LETTERS, SOURCE
    unmeasured = "agents are a DaemonSet (docs/kubernetes.md), with a store of their own"

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell, ROOT)

    def listing(self, *, history: bool) -> str:  # noqa: ARG002 - the API shows pods until they are deleted
        """Three answers: pods, what the API warns of, and Kueue's workloads where pods are held back."""
        return LISTING

    def parse(self, text: str) -> tuple[PodGang, ...]:
        """Raises ValueError."""
        return parse_gangs(*text.split(SPLIT))

    def agent(self, folder: str) -> str:  # noqa: ARG002 - the interface
        """None: on Kubernetes agents are an administrator's DaemonSet, which sees the nodes' processes."""
        return ""

    def use(self, jobs: Sequence[SlurmJob]) -> Mapping[str, Use]:
        """As the metrics API says, where there is one."""
        return pod_use(self.shell, f"$(cat {NAMESPACE_FILE})", jobs)

    def longest(self, partition: str) -> float | None:  # noqa: ARG002 - the interface
        """Pods live as long as nobody says less."""
        return None

    def release(self, job: SlurmJob, *, now: bool) -> None:
        """Delete all that was made for it; now: without waiting for what runs there to end.

        Nothing runs on machines that are given back, and SkyPilot's pods do not heed TERM: a long grace would be paid.
        """
        force = "--grace-period=0 --force" if now else "" if job.is_broken else f"--grace-period={GRACE_SECONDS}"
        selector = shlex.quote(f"{CLUSTER_LABEL}={re.sub(r'[^a-z0-9-]', '', job.name)}")
        script = f"kubectl delete {KINDS} -l {selector} --ignore-not-found --wait=false {force}"
        self.shell.must(script, seconds=ACT_SECONDS, what="pods can't be released")
