"""A whole run on a real node: its supervisor a Deployment, SkyPilot beside it, a trainer on eight fake H100."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from control_plane import wait
from real_node import IMAGE, RealNode, volume

SPEC = """
name: kube
stages:
  - kind: sft
    name: sft
    model: clusterctl/quickstart
    tokens: 1e6
    job:
      image: localhost/sky:test
      command: |
        echo "rank $CLUSTERCTL_NODE_RANK of $CLUSTERCTL_NODES, $CLUSTERCTL_GPUS_PER_NODE GPUs, on $(hostname)"
        for step in 1 2 3; do
          echo "{\\"step\\": $step, \\"metrics\\": {\\"loss\\": 0.5}}" >>"$CLUSTERCTL_REPORTS"
          sleep 2
        done
        echo '{"done": true}' >"$CLUSTERCTL_RESULT.part" && mv "$CLUSTERCTL_RESULT.part" "$CLUSTERCTL_RESULT"
fleet:
  targets: ["kubernetes:test"]
  machines: [{name: gpu, gpu: H100, gpus_per_node: 8, vcpus: 3, memory_gib: 6, usd_per_hour: 20}]
limits: {usd: 20, hours: 1}
"""
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
Command = Callable[..., str]


@pytest.fixture(scope="module")
def command(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`clusterctl` of a laptop that reaches the node by its kubeconfig."""
    node.load_clusterctl()
    node.load_sky()
    folder = node.folder / "volume"
    folder.mkdir()
    node.plane.place().apply([volume(folder)])
    node.plane.kubectl("apply", "-f", "-", given=RIGHTS)
    home = tmp_path_factory.mktemp("laptop")
    environment = os.environ | {
        "HOME": str(home),
        "CLUSTERCTL_HOME": str(home / "data"),
        "KUBECONFIG": str(node.plane.kubeconfig),
        "PATH": f"{node.plane.programs}:{os.environ['PATH']}",
        "CLUSTERCTL_IMAGE": IMAGE,
    }

    def run(*words: str, check: bool = True) -> str:
        line = [Path(sys.executable).with_name("clusterctl"), *words]
        ended = subprocess.run(
            line, cwd=home, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert ended.returncode == 0 or not check, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    (home / "run.yaml").write_text(SPEC)
    return run


@pytest.mark.slow  # seven minutes of two busy cores, and an image with SkyPilot in it
def test_a_run_goes_to_its_end_and_leaves_nothing(node: RealNode, command: Command, tmp_path: Path) -> None:
    began = time.monotonic()
    up = command("up", "run.yaml", "--yes", "--detach")
    name = up.splitlines()[-1].split()[0]

    def row() -> dict[str, Any]:
        (found,) = json.loads(command("status", name, "--json"))
        return dict(found)

    def why() -> str:
        pods = node.plane.kubectl("get", "pods", "-o", "wide", check=False)
        return f"{row()}\n{pods}\n{command('events', name, check=False)}\n{command('logs', name, check=False)}"

    wait(
        lambda: row()["state"] not in {"wanted", "running", "provisioning", "queued"},
        "it has ended",
        why=why,
        seconds=420,
    )
    found = row()
    assert found["state"] == "finished", why()
    logs = command("logs", name)
    assert "rank 0 of 1, 8 GPUs" in logs
    wait(
        lambda: "kube" not in node.plane.kubectl("get", "pods", "-l", "clusterctl.dev/cluster"),
        "its pods are gone",
        why=why,
    )
    assert float(found["usd"]) > 0
    assert command("sweep") == "nothing is left over\n"
    print(f"a run on Kubernetes: {time.monotonic() - began:.0f} s, {found['usd']} USD")
