"""A smoke spec through `up`, to its end, in jobs of a real Slurm cluster: TRL's own trainer, sandboxes, supervisor in the cluster."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from clusterctl.paths import bundle_root

RUN_SECONDS = 900
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def say(clusterctl: Run, slurm_cluster: ModuleType, tmp_path: Path) -> Iterator[Run]:
    """The command line of a laptop; the cluster has TRL's environment where its user's runs look for it."""
    if not (slurm_cluster.CACHE / "trl" / "made-from.lock").exists():
        pytest.skip("no environment trl: tests/engines/install.sh makes it")
    slurm_cluster.write_client_files(tmp_path)
    environment = {
        "HOME": str(tmp_path),
        "CLUSTERCTL_HOME": str(tmp_path / "store"),
        "CLUSTERCTL_SKYPILOT_PYTHON": str(slurm_cluster.SKYPILOT_PYTHON),
        "CLUSTERCTL_PLACE_PYTHON": slurm_cluster.PLACE_PYTHON,
    }
    if not slurm_cluster.run("cpu1", "ls", "/srv/trl", check=False).strip():
        pytest.fail("the cluster that is up was brought up without TRL's environment: take it down")
    envs = "/home/skyu/.clusterctl/envs"
    slurm_cluster.run("login", "mkdir", "-p", envs, user="skyu")
    slurm_cluster.run("login", "ln", "-sfn", "/srv/trl", f"{envs}/trl-1.16.0-smoke", user="skyu")
    yield lambda *words: clusterctl(*words, **environment)
    with suppress(subprocess.CalledProcessError):
        slurm_cluster.run("login", "scancel", "--user=skyu")
    slurm_cluster.run("login", "rm", "-rf", "/home/skyu/.clusterctl", user="skyu")


@pytest.mark.slow
def test_trl_trains_to_its_end_in_a_job_of_slurm(say: Run, tmp_path: Path) -> None:
    spec = yaml.safe_load((bundle_root() / "templates" / "specs" / "smoke-trl-grpo.yaml").read_text("utf-8"))
    spec["stages"][0] |= {"model": "clusterctl/smoke-tiny", "steps": 2}
    spec["fleet"] = {
        "targets": ["slurm:mini"],
        "machines": [{"name": "cpu", "nodes": 1, "vcpus": 16, "memory_gib": 60, "usd_per_hour": 1}],
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(spec))
    up = say("up", "run.yaml", "--yes", "--detach")
    assert up.returncode == 0, up.stderr
    name = up.stdout.splitlines()[-1].split()[0]
    deadline = time.monotonic() + RUN_SECONDS
    row: dict[str, Any] = {}
    while row.get("state") not in {"finished", "failed", "stopped"} and time.monotonic() < deadline:
        time.sleep(3)
        status = say("status", name, "--json")
        row = dict(json.loads(status.stdout)[0]) if status.returncode == 0 else row
    log = say("logs", name).stdout
    assert (row["state"], row["step"]) == ("finished", 2), (row, log[-3000:])
    assert "isolated by" in log, "the sandboxes' own log"
