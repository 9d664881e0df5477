"""A role whose ranks run side by side on this machine, as a place runs them: by path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from clusterctl.targets import rank

PROGRAMS = Path(rank.__file__).parent


class Role:
    """A role's folder, its ranks, and what they say."""

    def __init__(self, run: Path, program: str) -> None:
        """program: what a place starts for each rank."""
        self.program = PROGRAMS / program
        self.run, self.folder = run, run / "roles" / "trainer.1"
        self.folder.mkdir(parents=True)

    def write(self, *command: str, nodes: int = 1, **more: Any) -> None:
        job = {
            "command": command,
            "environment": {"GREETING": "hello"},
            "secrets": [],
            "secrets_folder": str(self.run / "secrets"),
            "setup": "",
            "nodes": nodes,
            "gpus_per_node": 0,
            "ports": {},
            "ready_path": "",
            "max_seconds": None,
            "stop_signal": "TERM",
            "role": "trainer",
            "slot": "trainer",
            "run_folder": str(self.run),
        }
        (self.folder / "job.json").write_text(json.dumps(job | more))

    def start(self, number: int = 0, attempt: str = "a", **more: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "SKYPILOT_NODE_RANK": str(number),
            "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
            **more,
        }
        return subprocess.Popen([sys.executable, str(self.program), str(self.folder), attempt], env=environment)

    def says(self, number: int = 0) -> dict[str, Any]:
        file = self.folder / f"rank-{number}.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def wait_for(self, phase: str, number: int = 0) -> None:
        until = time.monotonic() + 20
        while self.says(number).get("phase") != phase:
            assert time.monotonic() < until, self.says(number)
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return (self.run / "logs" / "trainer.log").read_text()
