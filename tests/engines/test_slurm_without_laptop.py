"""A run on a real Slurm by a real SkyPilot whose laptop is lost: it ends at its limit by itself, on the scheduler's own
account, and another laptop knows how it ended."""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import Run, seen, started, until

SPEC = """
name: alone
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 1000
    prompts_per_step: 2
    samples_per_prompt: 2
    job:
      command: |
        for i in $(seq 1000); do
          sleep 1; echo step $i
          echo "{\\"at\\": \\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\\", \\"stage\\": \\"rlcef\\", \\"step\\": $i, \\"of\\": 1000}" >>$CLUSTERCTL_REPORTS
        done
fleet:
  targets: ["slurm:mini"]
  machines: [{name: cpu, nodes: 1, vcpus: 16, memory_gib: 60, usd_per_hour: 3600}]
"""
"""A node costs a dollar a second."""


@pytest.fixture
def say(clusterctl: Run, slurm_cluster: ModuleType, tmp_path: Path) -> Iterator[Run]:
    """The command line of laptops, which reach the cluster."""
    slurm_cluster.write_client_files(tmp_path)
    # a name of its own: the scheduler still knows the allocations of earlier runs
    (tmp_path / "run.yaml").write_text(SPEC.replace("alone", f"alone-{secrets.token_hex(3)}"))
    environment = {
        "HOME": str(tmp_path),
        "CLUSTERCTL_SKYPILOT_PYTHON": str(slurm_cluster.SKYPILOT_PYTHON),
        "CLUSTERCTL_PLACE_PYTHON": slurm_cluster.PLACE_PYTHON,
    }

    yield partial(clusterctl, **environment)
    for number in jobs(slurm_cluster, "%i"):
        slurm_cluster.run("login", "scancel", number, user="skyu", check=False)


def jobs(cluster: ModuleType, shown: str = "%j") -> list[str]:
    """The jobs of this run."""
    rows = str(cluster.run("login", "squeue", "--noheader", "--user=skyu", f"--format=%j|{shown}")).splitlines()
    return [row.partition("|")[2] for row in rows if "-alone-" in row.partition("|")[0]]


def allocation(cluster: ModuleType, name: str) -> tuple[datetime, datetime]:
    """Start and end of the newest allocation whose name begins so, as the scheduler has noted them."""
    shown = str(cluster.run("login", "scontrol", "--oneliner", "show", "jobs"))
    found = [dict(word.partition("=")[::2] for word in line.split()) for line in shown.splitlines()]
    job = max((job for job in found if job["JobName"].startswith(name)), key=lambda job: job["StartTime"])
    return datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])


def test_a_run_ends_at_its_limit_on_the_schedulers_own_account(
    say: Run, slurm_cluster: ModuleType, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    limit = ("--limit-usd", "150", "--allow-over-limit")
    dry = say("up", "run.yaml", "--dry-run", *limit, CLUSTERCTL_HOME=str(a))
    assert "asks for rlcef" in dry.stdout, dry.stderr
    assert "partition cpu, 1 node of 14 CPUs" in dry.stdout
    name = started(say, a, *limit)
    until(lambda: any("supervisor" in job for job in jobs(slurm_cluster)), 60, pause=1)
    shutil.rmtree(a)
    until(lambda: len(jobs(slurm_cluster)) > 1, 300, pause=1)
    until(lambda: not jobs(slurm_cluster), 500, pause=1)

    raised = ("--limit-usd", "900", "--allow-over-limit")
    known = say("up", "run.yaml", "--dry-run", *raised, CLUSTERCTL_HOME=str(b))
    assert f"resumes {name}" in known.stdout, known.stderr
    row = seen(say, b, name)
    assert (row["state"], "limit" in row["note"]) == ("stopped", True), row
    began, ended = allocation(slurm_cluster, "cctl-alone")
    assert Decimal(row["usd"]) == Decimal(round((ended - began).total_seconds())), "to the second"
    assert say("logs", name, CLUSTERCTL_HOME=str(b)).returncode == 0
    assert "nothing is left over" in say("sweep", CLUSTERCTL_HOME=str(b)).stdout


@pytest.mark.slow
def test_a_run_goes_on_through_ten_minutes_without_a_scheduler(
    say: Run, slurm_cluster: ModuleType, tmp_path: Path
) -> None:
    a = tmp_path / "a"
    name = started(say, a, "--limit-usd", "5000", "--allow-over-limit")
    until(lambda: seen(say, a, name)["step"] > 0, 400, pause=1)
    before = seen(say, a, name)["step"]
    with slurm_cluster.paused("slurmctld"):
        time.sleep(600)
        assert seen(say, a, name)["state"] == "running"
    until(lambda: seen(say, a, name)["step"] > before + 300, 120, pause=1)
    assert (seen(say, a, name)["state"], len(jobs(slurm_cluster))) == ("running", 2)
    down = say("down", name, "--yes", CLUSTERCTL_HOME=str(a))
    assert (down.returncode, "nothing left running" in down.stdout) == (0, True), down.stderr
    began, ended = allocation(slurm_cluster, "cctl-alone")
    assert (ended - began).total_seconds() > 600, "one allocation, through all of it"
    assert Decimal(seen(say, a, name)["usd"]) == Decimal(round((ended - began).total_seconds())), "to the second"
