"""What agents measure in a run's place is shown on laptops: idle dollars, GPUs, hosts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from far_world import Run, far_place, started, until

sys.path.insert(0, str(Path(__file__).parents[1] / "telemetry"))

from running_agent import RunningAgent, working
from standin import Script

SPEC = """
name: far-gpus
objective: time
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-1.5B-Instruct, steps: 400, prompts_per_step: 6, samples_per_prompt: 6}
fleet:
  targets: [fake]
  machines:
    - {target: fake, name: cpus, nodes: 1, vcpus: 8, memory_gib: 32, usd_per_hour: 3.6}
    - {target: fake, name: gpus, gpu: H100, gpus_per_node: 8, nodes: 1, vcpus: 64, memory_gib: 500, usd_per_hour: 36}
"""


def test_a_laptop_shows_what_was_measured_far_away(
    in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text(SPEC)
    with far_place(tmp_path) as far:
        home = str(far.laptop(tmp_path / "a"))

        def say(*words: str) -> str:
            done = in_process(*words, CLUSTERCTL_HOME=home)
            assert done.returncode == 0, done.stderr
            return done.stdout

        name = started(in_process, Path(home))

        def cost() -> dict[str, Any]:
            return dict(json.loads(say("cost", name, "--by", "role", "--by", "use", "--json")))

        until(lambda: [row for row in cost()["rows"] if row["use"] == "unmeasured"], pause=1)
        (node,) = (f"fake:{each}" for each in far.nodes(name) if "trainer" in each)
        assert cost()["unmeasured"] == [f"{node}: no agent has measured it"]
        store = far.root / "runs" / name / "telemetry"
        monkeypatch.setenv("CLUSTERCTL_RUN", name)
        agent = RunningAgent(tmp_path / "node", store=str(store), node=node)  # no NVML there
        until(lambda: "no GPU seen by NVML" in str(cost()["unmeasured"]), pause=1)
        assert agent.stop() == 0

        script = Script(tmp_path / "nvml.script")
        with working(name, "trainer", tmp_path / "node", says="sandbox") as pid:
            script.set("gpus 8", f"gpu 0 pid {pid} 4000")
            agent = RunningAgent(tmp_path / "node", script=script, store=str(store), node=node)
            until(lambda: [row for row in cost()["rows"] if row["reason"] == "waiting_sandbox"], pause=1)
            assert agent.stop() == 0
        shown = cost()
        idle = {(row["role"], row["reason"]) for row in shown["rows"] if row["use"] == "idle"}
        assert ("trainer", "waiting_sandbox") in idle
        assert (float(shown["idle_usd"]) > 0, shown["unmeasured"]) == (True, [])
        rows = say("telemetry", "export", "gpu", "--run", name).splitlines()
        assert len(rows) > 1
        assert all(name in row for row in rows[1:])
        assert node in say("telemetry", "export", "host")
        assert say("down", name, "--yes")
