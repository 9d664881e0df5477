"""A shell in a namespace: bash in a pod that has the volume of our runs; and supervisors as Deployments beside it."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from clusterctl.errors import ClusterctlError
from clusterctl.targets.base import Unreachable
from clusterctl.targets.kubernetes_api import Kubernetes, Object
from clusterctl.targets.kubernetes_errors import failure
from clusterctl.targets.kubernetes_manifests import name_of, objects, run_labels
from clusterctl.targets.kubernetes_pods import PodState, pod_state, warnings
from clusterctl.targets.place_commands import FoundSupervisor
from clusterctl.targets.shell import TIMED_OUT, Ran, Shell
from planners.runs.reconcile import Cause, InstancePhase

PLACE = "clusterctl"
"""Name of what all runs of a namespace share: service account, volume, the pod of the shell."""
ROOT = "/data"
IMAGE_VARIABLE = "CLUSTERCTL_IMAGE"
"""Image made from templates/kubernetes/Containerfile."""
POOL_IMAGE_VARIABLE = "CLUSTERCTL_POOL_IMAGE"
"""Image of the pods of roles that name none; without it SkyPilot's own."""
QUEUE_VARIABLE = "CLUSTERCTL_KUEUE"
"""LocalQueue of Kueue, where a namespace has several."""
CLASS_VARIABLE = "CLUSTERCTL_RUNTIME_CLASS"
"""Runtime class of sandboxes, where this user may not list them."""
VARIABLES = (IMAGE_VARIABLE, POOL_IMAGE_VARIABLE, QUEUE_VARIABLE, CLASS_VARIABLE)
VOLUME_GIB = 50
AGENT_SANDBOXES, POD_METRICS = "sandboxclaims.extensions.agents.x-k8s.io", "pods.metrics.k8s.io"
WORKLOADS = "workloads.kueue.x-k8s.io"
"""Nobody can grant a right on them who has none, and a namespace's administrator may lack it."""
START_SECONDS = 180.0
"""For the pod of the shell to start, its image pulled."""
CONNECT_SECONDS = 10.0
SUPERVISOR_CPUS, SUPERVISOR_MEMORY_GIB = 0.5, 3
"""For a supervisor (200 MB) and SkyPilot's API server beside it (1.2 GB, twice that for a moment)."""


class PodShell(Shell):
    """Bash in the pod of the Deployment `clusterctl`, which is made where it is missing."""

    def __init__(self, place: Kubernetes, *, storage_class: str = "") -> None:
        """storage_class: of the volume that is made where there is none; empty = the cluster's default."""
        self.place, self.name, self._storage_class = place, place.name, storage_class
        self._pod = ""

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run it there.  Raises Unreachable with the scheduler's own reason where there is no such pod yet."""
        pod, sent, seconds = self._ready_pod(), script.encode(), self.allowed(seconds)
        there = f"timeout -k 5 {max(seconds, 1):.0f} bash -c 'eval \"$(head -c {len(sent)})\"'"
        code, output, errors = self.place.exec(
            pod, ["bash", "-c", there], stdin=sent + stdin, seconds=seconds + CONNECT_SECONDS
        )
        told = re.search(r"command terminated with exit code (\d+)\s*$", errors)
        if code != 0 and told is None:  # it has not run, or nobody knows how it ended
            self._pod = ""
            error = failure(self.name, errors.encode())
            raise error if isinstance(error, Unreachable) else Unreachable(error.message, hint=error.hint)
        if code == TIMED_OUT:
            raise Unreachable(f"{self.name} can't be asked: no answer within {seconds:.0f} s")
        return Ran(exit_code=code, stdout=output, stderr=errors[: told.start()] if told else errors)

    def _ready_pod(self) -> str:
        """Its pod's name; the pod is waited for where it has just been made."""
        if not self._pod:
            made = self._make()
            until = time.monotonic() + (START_SECONDS if made else CONNECT_SECONDS)
            while (found := _state(self.place, PLACE)) is None or found.phase is not InstancePhase.READY:
                refused = found is not None and found.cause is Cause.REFUSED
                if refused or time.monotonic() > until:
                    why = found.message or found.phase if found is not None else "Kubernetes has not made it yet"
                    look = f"kubectl describe pod -l app.kubernetes.io/instance={PLACE}"
                    hint = f"{IMAGE_VARIABLE} names the image; `{look}` shows more"
                    raise Unreachable(f"{self.name}: the pod `{PLACE}` does not run: {why}", hint=hint)
                time.sleep(0.5)
            self._pod = found.name
        return self._pod

    def _make(self) -> bool:
        """Make its Deployment where there is none, or another image is named now and the old one does not run."""
        found = self.place.get("apps/v1/deployments", PLACE)
        if found is not None:
            used = found["spec"]["template"]["spec"]["containers"][0]["image"]
            state = _state(self.place, PLACE)
            stuck = state is not None and state.cause is Cause.REFUSED
            if not stuck or os.environ.get(IMAGE_VARIABLE, used) == used:
                return False
        self.place.apply(place_objects(self.place, storage_class=self._storage_class))
        return True


class KubernetesSupervisors:
    """Supervisors as Deployments of one replica."""

    node_folder = '"/tmp/clusterctl/$run"'

    def __init__(self, place: Kubernetes) -> None:
        self.place = place

    def start(self, shell: Shell, run_id: str, script: str, log: str) -> str:  # noqa: ARG002 - by the API
        """A Deployment: the script starts again with its pod, on another node where that was lost."""
        name = supervisor_name(run_id)
        end = f"kubectl scale deployment {name} --replicas=0 && sleep 60"  # it is ended meanwhile
        started = f"bash {shlex.quote(script)} >>{shlex.quote(log)} 2>&1 && {end}"
        self.place.apply(
            objects(
                "supervisor",
                labels=run_labels(run_id, "supervisor"),
                annotations={},
                name=name,
                account=PLACE,
                namespace=self.place.namespace,
                image=image(),
                command=["bash", "-c", started],
                environment={"HOME": ROOT, "USER": "clusterctl", **settings()},
                cpus=SUPERVISOR_CPUS,
                memory_gib=SUPERVISOR_MEMORY_GIB,
            )
        )
        return name

    def find(self, shell: Shell, run_id: str) -> Sequence[FoundSupervisor]:  # noqa: ARG002 - by the API
        """Its pods that have not ended."""
        now, name = datetime.now(tz=UTC), supervisor_name(run_id)
        found = []
        for state in _states(self.place, name):
            if state.phase is not InstancePhase.ENDED:
                runs = state.phase in {InstancePhase.READY, InstancePhase.ENDING}
                age = (now - state.created).total_seconds() if runs else None
                found.append(FoundSupervisor(address=state.name, running_seconds=age, message=state.message))
        return found

    def end(self, shell: Shell, address: str) -> None:  # noqa: ARG002 - by the API
        """Its pod at once; the Deployment makes a new one."""
        self.place.delete("v1/pods", name=address, force=True)


def place_objects(place: Kubernetes, *, storage_class: str = "") -> list[Object]:
    """What runs of a namespace share.  A volume claim that is there already stays as it is."""
    volume_gib = 0 if place.get("v1/persistentvolumeclaims", PLACE) is not None else VOLUME_GIB
    return objects(
        "place",
        labels={},
        annotations={},
        name=PLACE,
        namespace=place.namespace,
        image=image(),
        volume_gib=volume_gib,
        storage_class=storage_class,
        agents=place.may("create", AGENT_SANDBOXES),
        metrics=place.may("list", POD_METRICS),
        kueue=place.may("list", WORKLOADS),
    )


def supervisor_name(run_id: str) -> str:
    """Of the Deployment and the Lease of a run's supervisor."""
    return name_of(PLACE, run_id)


def settings() -> dict[str, str]:
    """What this user has set for the place, for the supervisor there."""
    return {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}


def image() -> str:
    """Raises ClusterctlError where nobody has named one."""
    if not (named := os.environ.get(IMAGE_VARIABLE, "")):
        hint = f"build templates/kubernetes/Containerfile, push it, and set {IMAGE_VARIABLE} to its name"
        raise ClusterctlError("Kubernetes needs an image with clusterctl in it", hint=hint)
    return named


def _states(place: Kubernetes, instance: str) -> list[PodState]:
    """Pods of a Deployment, the newest first, with what the API warns of."""
    pods = list(place.items("v1/pods", labelSelector=f"app.kubernetes.io/instance={instance}"))
    said: dict[str, str] = {}
    if any(pod["status"].get("phase") == "Pending" for pod in pods):
        said = warnings(place.items("v1/events", fieldSelector="involvedObject.kind=Pod,type=Warning"))
    states = [pod_state(pod, said.get(pod["metadata"]["name"], "")) for pod in pods]
    return sorted(states, key=lambda state: state.created, reverse=True)


def _state(place: Kubernetes, instance: str) -> PodState | None:
    live = [s for s in _states(place, instance) if s.phase not in {InstancePhase.ENDED, InstancePhase.ENDING}]
    return live[0] if live else None
