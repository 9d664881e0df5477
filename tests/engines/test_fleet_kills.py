"""Runs on clusters of their own, killed at random moments on the real engine beside a cloud that is a file: the command, its
process, the engine, a plugin, all at once, and the supervisor that asks for nodes.  Then the cloud's own record is
compared with the ledger (pulumi/fleet_kills.py)."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "pulumi"))

from fleet import build_engine
from fleet_kills import Life

SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}, job: {{command: "true"}}}}
fleet: {{targets: [{cloud}], regions: [{region}], gpus: [H100]}}
limits: {{usd: 60000, hours: 100}}
"""
REGIONS = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}
AT_ONCE = int(os.environ.get("CLUSTERCTL_TEST_LIVES", "3"))
"""Runs side by side: mostly they wait."""


def lives(folder: Path, run: Callable[..., Any], wanted: list[tuple[str, tuple[int, int, int]]], seed: int) -> int:
    """Has runs live on these clouds, with so many kills of up, supervisor and down each; how many kills there were."""
    engine, plans = build_engine(), {}
    for cloud in dict.fromkeys(cloud for cloud, _ in wanted):
        (folder / "run.yaml").write_text(SPEC.format(cloud=cloud, region=REGIONS[cloud]))
        plans[cloud] = folder / f"{cloud}.json"
        planned = run("plan", "run.yaml", "--out", str(plans[cloud]))
        assert planned.returncode == 0, planned.stderr
    made = [
        Life(folder / f"{cloud}-{number}", engine, plans[cloud], cloud, seed + number, kills)
        for number, (cloud, kills) in enumerate(wanted)
    ]
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for said in pool.map(Life.live, made):
                print(said)
    finally:
        print(dict(sum((life.done for life in made), Counter())))
        for life in made:
            life.end()
    return sum(sum(life.done.values()) for life in made)


def test_kills_leave_nothing_twice_nothing_behind_and_a_bill_as_the_meter(
    tmp_path: Path, in_process: Callable[..., Any]
) -> None:
    wanted = [("aws", (3, 4, 2)), ("gcp", (2, 0, 1))]
    assert lives(tmp_path, in_process, wanted, seed=13) >= 8


@pytest.mark.slow
def test_an_engine_killed_while_accounts_and_roles_are_made_leaves_none_twice(
    tmp_path: Path, in_process: Callable[..., Any]
) -> None:
    lives(tmp_path, in_process, [("gcp", (1, 0, 0))], seed=14)  # a creation is cut and two requests throttled beside


@pytest.mark.slow
def test_two_hundred_kills_leave_nothing_twice_nothing_behind_and_a_bill_as_the_meter(
    tmp_path: Path, in_process: Callable[..., Any]
) -> None:
    wanted = [("aws", (8, 8, 5)), ("gcp", (8, 0, 6)), ("azure", (8, 0, 6))] * 4 + [("aws", (6, 10, 5))]
    assert lives(tmp_path, in_process, wanted, seed=1300) >= 190
