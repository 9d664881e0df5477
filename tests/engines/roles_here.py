"""Runs the jobs of a stage as plain processes of this machine, as a place would: files, variables, order by readiness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.jobs import Job
from clusterctl.jobs.stage_jobs import stage_jobs, stage_roles
from planners.plan.value import Plan

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"


@dataclass
class Place:
    """A folder in which a stage's roles run, one run after the other.  Use as `with`; it ends what it has started."""

    folder: Path
    environments: Mapping[str, str]
    """Name of a role's environment -> that of a cached one."""
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Place:
        for name, cached in self.environments.items():
            (self.folder / "envs").mkdir(parents=True, exist_ok=True)
            (self.folder / "envs" / name).symlink_to(CACHE / cached)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends what runs."""
        for process in self.started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.started.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def run(self, plan: Plan, stage: str, *, seconds: float) -> int:
        """Starts every role after those that it waits for; the exit code of the one that ends by itself."""
        self.end()
        jobs = stage_jobs(plan, stage, run_id=f"run-{os.getpid()}", token="a-token-of-a-test")
        roles = stage_roles(plan, stage)
        for role in roles:
            job = jobs[role.name]
            self.started[role.name] = self.start(stage, role.name, job, jobs)
            self.wait_ready(role.name, job)
        last = next(role.name for role in roles if role.until_done)
        return self.started[last].wait(timeout=seconds)

    def start(self, stage: str, role: str, job: Job, jobs: Mapping[str, Job]) -> subprocess.Popen[bytes]:
        """One rank of a role."""
        folder = self.folder / role
        for name, text in job.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CLUSTERCTL_ENVS": str(self.folder / "envs"),
            "CLUSTERCTL_STAGE": stage,
            "CLUSTERCTL_ROLE": role,
            "CLUSTERCTL_FOLDER": str(folder),
            "CLUSTERCTL_REPORTS": str(self.folder / "reports.jsonl"),
            "CLUSTERCTL_RESULT": str(self.folder / "result.json"),
            "CLUSTERCTL_CHECKPOINTS": str(self.folder / "checkpoints"),
            "CLUSTERCTL_NODES": "1",
            "CLUSTERCTL_NODE_RANK": "0",
            "CLUSTERCTL_HEAD": "127.0.0.1",
            "CLUSTERCTL_GPUS_PER_NODE": str(job.gpus_per_node),
            **job.environment,
            **{variable: address(jobs, named) for variable, named in job.needs.items()},
        }
        if job.setup:
            subprocess.run(["bash", "-c", job.setup], cwd=folder, env=environment, check=True, timeout=60)
        with (self.folder / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                job.command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self, role: str, job: Job) -> None:
        """Until its first port answers 200 on its path."""
        if not job.ready_path:
            return
        url = f"http://127.0.0.1:{next(iter(job.ports.values()))}{job.ready_path}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.started[role].poll() is None, self.log(role)
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(f"{role} is not ready: {self.log(role)}")

    def log(self, role: str) -> str:
        """What a role has written, from its end."""
        return (self.folder / f"{role}.log").read_text("utf-8", "replace")[-5000:]

    def reports(self) -> list[dict[str, Any]]:
        """What the jobs have reported."""
        file = self.folder / "reports.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def result(self) -> dict[str, Any]:
        """What the stage came to."""
        answer: dict[str, Any] = json.loads((self.folder / "result.json").read_text("utf-8"))
        return answer


def address(jobs: Mapping[str, Job], named: str) -> str:
    """Address of a role's port, the first one where none is named."""
    role, _, port = named.partition(":")
    ports = jobs[role].ports
    return f"http://127.0.0.1:{ports[port] if port else next(iter(ports.values()))}"
