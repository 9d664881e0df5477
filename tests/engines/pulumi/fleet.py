"""A run's fleet beside the cloud of cloud.py: a plan, the plugins, the environment for `FleetStack`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))

from cloud import Cloud  # noqa: E402 - found by the path above

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"
PYTHON = CACHE / "pulumi/bin/python"
RUN = "rlcef-123456"
SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}}}
fleet: {{targets: [{cloud}], gpus: [H100]}}
limits: {{usd: 60000}}
"""
PLUGIN = """#!/bin/sh
FAKE_CLOUD_NAME={name} exec {python} -u {plugin} "$@"
"""


def build_engine() -> Path:
    """The folder of Pulumi's engine, which is built where it is missing."""
    built = subprocess.run(["sh", HERE / "build.sh"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    return Path(built.stdout.strip())


def make_plan(folder: Path, run: Callable[..., Any], cloud: str) -> Path:
    """A plan on a cloud."""
    (folder / "run.yaml").write_text(SPEC.format(cloud=cloud))
    planned = run("plan", str(folder / "run.yaml"), "--out", str(folder / "plan.json"))
    assert planned.returncode == 0, planned.stderr
    return folder / "plan.json"


class FakeFleet:
    """A cloud in a folder, and the environment in which Pulumi finds it."""

    def __init__(self, folder: Path, engine: Path, plan: Path) -> None:
        self.folder, self.plan, self.store = folder, plan, folder / "store"
        self.pools = json.loads(plan.read_text())["pools"]
        self.cloud = Cloud(folder / "cloud.db")
        self.cloud.set(prices={pool["instance_type"]: pool["usd_per_node_hour"] for pool in self.pools})
        (folder / "plugins").mkdir()
        for name in ("aws", "gcp", "azure-native", "kubernetes"):
            file = folder / "plugins" / f"pulumi-resource-{name}"
            file.write_text(PLUGIN.format(name=name, python=PYTHON, plugin=HERE / "plugin.py"))
            file.chmod(0o755)
        self.environment = {
            "CLUSTERCTL_PULUMI_PYTHON": str(PYTHON),
            "FAKE_CLOUD_FILE": str(folder / "cloud.db"),
            "PATH": f"{folder / 'plugins'}:{engine / 'bin'}:{os.environ['PATH']}",
        }

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What works on the fleet now: `program`, `engine`, `plugin`."""
        found: dict[str, list[psutil.Process]] = {"program": [], "engine": [], "plugin": []}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("CLUSTERCTL_FLEET_WORK", "").startswith(str(self.folder)):
                    words = " ".join(process.cmdline())
                    kind = "plugin" if "plugin.py" in words else "program" if "infra.automation" in words else "engine"
                    found[kind].append(process)
        return found

    def kill(self, command: subprocess.Popen[str], *whom: str) -> None:
        """Kills the command itself (`cli`), or what works for it, with the signal that nobody can hear."""
        for name, processes in self.processes().items():
            for process in processes if name in whom else ():
                with contextlib.suppress(psutil.Error):
                    process.kill()
        if "cli" in whom:
            command.kill()

    def twice(self) -> list[str]:
        """What the cloud holds more than once."""
        counts = Counter(f"{held.type} {held.name}" for held in self.cloud.held())
        return [name for name, count in counts.items() if count > 1]
