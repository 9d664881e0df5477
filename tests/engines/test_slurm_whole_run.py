"""A whole run on a real Slurm: `up` puts everything there; supervisor, SkyPilot, sandbox and trainer work inside, on nodes without a network."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import Run, seen, started, until

SPEC = r"""
name: whole
objective: cost
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 3
    prompts_per_step: 2
    samples_per_prompt: 2
    job:
      command: |
        for step in 1 2 3; do
          echo "step $step, sandbox $CLUSTERCTL_SANDBOXES"
          echo "{\"at\": \"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\", \"stage\": \"rlcef\", \"step\": $step, \"of\": 3, \"phases\": {\"generate\": 1.0}}" >>"$CLUSTERCTL_REPORTS"
          sleep 1
        done
        echo '{}' >"$CLUSTERCTL_RESULT"
fleet:
  targets: ["slurm:mini"]
  machines: [{name: cpu, nodes: 2, vcpus: 32, memory_gib: 125, usd_per_hour: 3.6}]
limits: {usd: 5, hours: 0.5}
"""


def test_a_run_ends_by_itself_inside_the_cluster(slurm_cluster: ModuleType, tmp_path: Path, clusterctl: Run) -> None:
    slurm_cluster.write_client_files(tmp_path)
    (tmp_path / "run.yaml").write_text(SPEC)
    say = partial(clusterctl, HOME=str(tmp_path), CLUSTERCTL_PLACE_PYTHON=slurm_cluster.PLACE_PYTHON)
    store = tmp_path / "store"
    name = started(say, store)
    ended = {"finished", "failed", "stopped"}
    until(lambda: seen(say, store, name)["state"] in ended, 480, pause=8)
    state = seen(say, store, name)
    assert state["state"] == "finished", state
    logs = say("logs", name, CLUSTERCTL_HOME=str(store)).stdout
    assert f"step 3, sandbox http://{slurm_cluster.NETWORK}." in logs

    def measured(table: str) -> list[dict[str, Any]]:
        done = say("telemetry", "export", table, "--format", "json", CLUSTERCTL_HOME=str(store))
        return [json.loads(row) for row in done.stdout.splitlines()]

    assert {row["node"] for row in measured("host")} <= {"cpu1", "cpu2"}
    assert {row["run"] for row in measured("sandbox")} == {name}
    assert all("no GPU seen by NVML" in row["text"] for row in measured("notes") if row["kind"] == "absent")
    assert [row for row in measured("notes") if row["kind"] == "absent"]
    deadline = time.monotonic() + 60
    while slurm_cluster.run("login", "squeue", "-h", user="skyu") and time.monotonic() < deadline:
        time.sleep(1)
    assert slurm_cluster.run("login", "squeue", "-h", user="skyu") == ""
    rows = slurm_cluster.run("login", "scontrol", "show", "job", "-o", user="skyu").splitlines()
    (job,) = [dict(pair.split("=", 1) for pair in row.split() if "=" in pair) for row in rows if "JobName=cctl-" in row]
    start, end = (time.mktime(time.strptime(job[key], "%Y-%m-%dT%H:%M:%S")) for key in ("StartTime", "EndTime"))
    assert float(state["usd"]) == pytest.approx((end - start) * 3.6 / 3600, abs=0.0011)  # a second is a tenth of a cent
