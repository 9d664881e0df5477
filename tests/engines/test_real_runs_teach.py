"""Plans that learn, on real runs of the quickstart: shown, applied, nearer to the next run, taken back.

The spec states the sandbox's seconds five times too high, so that what is to be learned is larger than this machine's noise.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SPEC = """
name: taught
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 6
    prompts_per_step: 4
    samples_per_prompt: 4
    sandbox: {profile: judge, cpus: 1, memory_gib: 0.25, seconds: {mean: 0.2, p95: 0.5}, time_limit_seconds: 2}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 0.08}]}
"""
Say = Callable[..., str]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """`say("plan", "--json")` → stdout; a command that fails is an error unless `code` expects it."""
    environment = os.environ | {"CLUSTERCTL_HOME": str(tmp_path / "home"), "NO_COLOR": "1", "COLUMNS": "100"}
    environment.pop("CLUSTERCTL_LEDGER", None)
    (tmp_path / "taught.yaml").write_text(SPEC, encoding="utf-8")

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "clusterctl"), *arguments],
            env=environment,
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


def ran(say: Say, *options: str) -> dict[str, Any]:
    """A run to its end: its `bill` line."""
    lines = [json.loads(line) for line in say("up", "taught.yaml", "--yes", "--json", *options).splitlines()]
    bill: dict[str, Any] = next(line for line in lines if line["kind"] == "bill")
    return bill


def off_by(bill: dict[str, Any]) -> float:
    """|ln(actual / planned)| of the seconds of a step."""
    phases = [line for line in bill["lines"] if line["kind"] == "phase"]
    return abs(math.log(sum(line["actual"] for line in phases) / sum(line["planned"] for line in phases)))


def test_real_runs_teach_the_next_plan(say: Say, tmp_path: Path) -> None:
    raw = json.loads(say("plan", "taught.yaml", "--json"))
    first = [ran(say), ran(say, "--again")]
    say("up", "taught.yaml", "--yes", "--again", "--detach")  # and one that is interrupted
    folder = next(f for f in (tmp_path / "home" / "runs").iterdir() if f.name not in {bill["run"] for bill in first})
    while not (folder / "reports.jsonl").exists() or (folder / "reports.jsonl").read_bytes().count(b"\n") < 2:
        time.sleep(0.05)
    say("down", "--yes", folder.name)

    shown = json.loads(say("calibrate", "--json"))
    assert (shown["in_use"], json.loads(say("plan", "taught.yaml", "--json"))["hours"]) == (None, raw["hours"])
    for row in shown["factors"]:
        assert set(row["actual_over_planned"]) == {folder.name, *(bill["run"] for bill in first)}
    say("calibrate", "--apply")
    assert "calibrated on 3 of your runs" in " ".join(say("plan", "taught.yaml").split())
    learned = json.loads(say("plan", "taught.yaml", "--json"))
    assert learned["hours"]["p90"] / learned["hours"]["p10"] < raw["hours"]["p90"] / raw["hours"]["p10"]
    assert off_by(ran(say)) < min(off_by(bill) for bill in first) / 2

    say("calibrate", "--revert", shown["proposed"])
    assert json.loads(say("plan", "taught.yaml", "--json"))["hours"] == raw["hours"]
