"""A run as targets see it: of a small plan on CPU nodes of a scheduler."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from clusterctl.plan_service import Planner, open_source
from clusterctl.targets.base import RunRef
from planners.plan.value import Plan

SPEC = """
name: rl
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2}
fleet:
  targets: ["TARGET"]
  machines: [{name: cpu, vcpus: 32, memory_gib: 125, usd_per_hour: 3.6MORE}]
limits: {usd: 7.2, hours: 10}
"""


def planned(folder: Path, target: str, more: str = "") -> Plan:
    """The plan on a target.  more: of its machines."""
    file = folder / "spec.yaml"
    file.write_text(SPEC.replace("TARGET", target).replace("MORE", more))
    return Planner(now=datetime(2026, 11, 23, tzinfo=UTC)).plan(open_source(str(file)))


def run_of(plan: Plan, folder: Path) -> RunRef:
    """Its first run."""
    return RunRef(run_id="rl-1", plan=plan, folder=folder, tags={"clusterctl.dev/budget": "7.2"}, stage="rlcef")
