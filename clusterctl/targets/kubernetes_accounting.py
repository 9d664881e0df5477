"""What a cluster's metrics API (metrics.k8s.io) says of a run's pods, where it is installed.  It knows no GPUs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.targets.accounting import Use
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL
from clusterctl.targets.shell import Shell
from clusterctl.targets.slurm_jobs import SlurmJob

SOURCE = "the metrics API of Kubernetes"
CALL_SECONDS = 8.0
METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces"
UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
UNITS |= {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "": 1.0}
MIB = 2**20


def pod_use(shell: Shell, namespace: str, jobs: Sequence[SlurmJob]) -> Mapping[str, Use]:
    """By name of an allocation.  namespace: shell words that give it.

    Raises Unreachable, and ClusterctlError where there is no such API, or no right to ask it.
    """
    script = f'kubectl get --raw "{METRICS}/{namespace}/pods?labelSelector={CLUSTER_LABEL}"'
    ran = shell.run(script, seconds=CALL_SECONDS)
    if ran.exit_code != 0:
        why = (ran.stderr.strip().splitlines() or [f"exit code {ran.exit_code}"])[-1]
        raise ClusterctlError(f"{SOURCE} can't be asked: {why[:200]}")
    try:
        return parse_use(json.loads(ran.text)["items"], {job.name for job in jobs})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterctlError(f"{SOURCE} gave an answer that can't be read: {error}") from error


def parse_use(pods: Sequence[Mapping[str, Any]], names: set[str]) -> dict[str, Use]:
    """The pods of each allocation together.  Raises ValueError, KeyError, TypeError for what is no list of pods."""
    used: dict[str, list[Mapping[str, str]]] = {}
    for pod in pods:
        name = pod["metadata"].get("labels", {}).get(CLUSTER_LABEL)
        if name in names:
            used.setdefault(name, []).extend(container["usage"] for container in pod["containers"])
    return {
        name: Use(
            cpus=sum(quantity(each["cpu"]) for each in some),
            memory_mib=sum(quantity(each["memory"]) for each in some) / MIB,
        )
        for name, some in used.items()
    }


def quantity(text: str) -> float:
    """Kubernetes' `250m`, `12345n`, `64Mi`.  Raises ValueError."""
    digits = text.rstrip("numKkMGTi")
    if (unit := text[len(digits) :]) not in UNITS:
        raise ValueError(f"`{text[:40]}` is no quantity")
    return float(digits) * UNITS[unit]
