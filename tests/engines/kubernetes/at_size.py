"""Many made-up nodes and sandbox pods, and how long each step takes.  By itself: `python at_size.py NODES PODS`."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_plane import ControlPlane, wait
from made_up_nodes import create, node

from clusterctl.targets.base import Unreachable
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_manifests import RUN_LABEL, next_replicas
from clusterctl.targets.kubernetes_pods import pod_state
from planners.runs.reconcile import InstancePhase

LOOK_SECONDS = 2.0
RUN = "size"


class AtSize:
    """One measurement: `seconds` by step."""

    def __init__(self, plane: ControlPlane, place: Kubernetes, *, shows: bool = False) -> None:
        self.plane, self.place, self.seconds, self.shows = plane, place, dict[str, float](), shows

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        if self.shows:
            print(f"{self.seconds[name]:8.1f} s  {name}", flush=True)

    def fill(self, nodes: int, pods: int, *, most_seconds: float) -> Counter[InstancePhase]:
        """Half of the nodes have GPUs.  Pods are asked for in stages, as many as the nodes start."""
        with self.step(f"create {nodes:,} nodes"):
            create(self.plane, (node(f"gpu-{i}" if i % 2 else f"cpu-{i}", gpus=8 * (i % 2)) for i in range(nodes)))
        with self.step("all nodes ready"):
            wait(lambda: self.ready_nodes() >= nodes, "nodes are ready", why=self.ready_nodes, seconds=most_seconds)
        with self.step("list nodes, raw, in pages"):
            assert sum(1 for _ in self.place.pages("/api/v1/nodes")) >= nodes
        until, asked, phases = time.monotonic() + most_seconds, 0, Counter[InstancePhase]()
        with self.step(f"run {pods:,} sandbox pods, in stages"):
            while phases[InstancePhase.READY] < pods and time.monotonic() < until:
                wanted = next_replicas(
                    wanted=pods, ready=phases[InstancePhase.READY], nodes=nodes // 2, seconds=LOOK_SECONDS
                )
                create(self.plane, (sandbox(i) for i in range(asked, wanted)))
                asked = max(asked, wanted)
                time.sleep(LOOK_SECONDS)
                phases = self.look()
        with self.step("observe all pods"):
            phases = self.look()
        with self.step("delete all pods"):
            self.place.delete("v1/pods", selector=f"{RUN_LABEL}={RUN}", force=True)
            wait(lambda: not sum(self.look().values()), "pods are gone", seconds=most_seconds)
        return phases

    def look(self) -> Counter[InstancePhase]:
        """As a run observes its pods."""
        pods = self.place.items("v1/pods", labelSelector=f"{RUN_LABEL}={RUN}")
        return Counter(pod_state(pod).phase for pod in pods)

    def ready_nodes(self) -> int:
        """None while the API server is too busy to say."""
        try:
            return sum(
                any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", ()))
                for item in self.place.pages("/api/v1/nodes")
            )
        except Unreachable:
            return 0


def sandbox(index: int) -> dict[str, Any]:
    """A stateful sandbox's pod: one CPU, 4 GiB, on a node without GPUs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"sandbox-{index}", "namespace": "default", "labels": {RUN_LABEL: RUN}},
        "spec": {
            "automountServiceAccountToken": False,
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"}]}
                        ]
                    }
                }
            },
            "containers": [
                {"name": "sandbox", "image": "sandbox:1", "resources": {"requests": {"cpu": "1", "memory": "4Gi"}}}
            ],
        },
    }


def main(nodes: int, pods: int) -> None:
    """Prints seconds by step, and the memory of the control plane."""
    import psutil

    engines = Path.home() / ".cache" / "clusterctl-engines" / "kubernetes"
    programs = next(folder for folder in engines.glob("bin-*") if (folder / "kwok.seconds").exists())
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder), programs) as plane:
        plane.start_kwok(lease_seconds=200 if nodes <= 2000 else 1200)
        measured = AtSize(plane, plane.place(), shows=True)
        phases = measured.fill(nodes, pods, most_seconds=1500.0)
        used = sum(process.memory_info().rss for process in psutil.Process().children(recursive=True))
        print(f"{phases}; control plane and kwok: {used / 2**30:.1f} GiB")
        print(f"this client: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    main(int(sys.argv[1]), int(sys.argv[2]))
