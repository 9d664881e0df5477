"""`clusterctl` of a laptop that reaches a control plane by its kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from control_plane import ControlPlane
from real_node import IMAGE, RealNode

from clusterctl.targets.kubernetes_shell import PLACE

RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: read-nodes}
rules: [{apiGroups: ["", node.k8s.io], resources: [nodes, namespaces, runtimeclasses], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: read-nodes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: read-nodes}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts:default"}]
"""


class Laptop:
    """One user's home folder.  client: who he is to the API server."""

    def __init__(self, plane: ControlPlane, home: Path, client: str = "admin") -> None:
        self.plane, self.home = plane, home
        self._environment = os.environ | {
            "HOME": str(home),
            "CLUSTERCTL_HOME": str(home / "data"),
            "KUBECONFIG": str(plane.pki / f"{client}.kubeconfig"),
            "PATH": f"{plane.programs}:{os.environ['PATH']}",
            "CLUSTERCTL_IMAGE": IMAGE,
        }

    def run(self, *words: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """A command, whatever becomes of it."""
        line = [Path(sys.executable).with_name("clusterctl"), *words]
        return subprocess.run(
            line, cwd=self.home, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def must(self, *words: str, seconds: float = 240) -> str:
        """What it prints.  Raises AssertionError where it fails."""
        ended = self.run(*words, seconds=seconds)
        assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def up(self, name: str, spec: str) -> str:
        """The id of the run that it has started."""
        (self.home / f"{name}.yaml").write_text(spec)
        words = ("up", f"{name}.yaml", "--yes", "--detach", "--allow-over-limit")
        return self.must(*words).splitlines()[-1].split()[0]

    def row(self, run_id: str) -> dict[str, Any]:
        """What `status` says of a run."""
        (row,) = json.loads(self.must("status", run_id, "--json"))
        return dict(row)

    def why(self, run_id: str) -> str:
        """For who looks into a failure."""
        pods = self.plane.kubectl("get", "pods", "-o", "wide", check=False)
        return f"{self.run('status', run_id).stdout}\n{pods}\n{self.run('events', run_id).stdout}"


def volume(folder: Path) -> dict[str, Any]:
    """A folder of the node, as the shared file system that a cluster has."""
    spec = {
        "capacity": {"storage": "50Gi"},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": str(folder)},
        "claimRef": {"name": PLACE, "namespace": "default"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "runs"}, "spec": spec}


def place_of_runs(node: RealNode) -> None:
    """What whole runs want: our image and SkyPilot's, the volume, and the right to read nodes."""
    node.load_clusterctl()
    node.load_sky()
    folder = node.folder / "volume"
    folder.mkdir()
    node.plane.place().apply([volume(folder)])
    node.plane.kubectl("apply", "-f", "-", given=RIGHTS)
