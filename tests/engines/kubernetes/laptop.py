"""`clusterctl` of a laptop that reaches a control plane by its kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from control_plane import ControlPlane
from real_node import IMAGE


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
