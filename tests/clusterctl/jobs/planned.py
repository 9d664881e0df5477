"""Plans for the tests of jobs, in the small world."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from planners.plan.value import Plan

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "planners"))
import tiny_world

AWS = {"targets": ["aws"], "gpus": ["H100"]}
H100_NODES = {
    "targets": ["slurm:mini"],
    "machines": [
        {"name": "gpu", "gpu": "H100", "vcpus": 192.0, "memory_gib": 2048.0, "nodes": 4},
        {"name": "cpu", "vcpus": 96.0, "memory_gib": 384.0, "nodes": 2},
    ],
}


def rlcef(**stage: Any) -> dict[str, Any]:
    """A small stage of reinforcement learning, changed."""
    return tiny_world.changed(tiny_world.RLCEF, **stage)


def planned(*stages: dict[str, Any], fleet: dict[str, Any] = AWS) -> Plan:
    """The plan of these stages."""
    return tiny_world.plan(*stages, fleet=fleet)
