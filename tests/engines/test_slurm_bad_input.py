"""`up` on a real Slurm that can't do what it is asked for: one message with the way on, and nothing half done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from clusterctl.paths import bundle_root

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import Run, seen, started, until
from slurm_record import allocations, end_jobs

Up = Callable[..., tuple[int, str]]
GPUS = {"gpu": "H100", "gpus_per_node": 8}
LARGE = {"vcpus": 64, "memory_gib": 500}
TINY = {"steps": 1, "prompts_per_step": 2, "samples_per_prompt": 2}
SMALL_DISK = "/home/skyu/full"


@pytest.fixture
def laptop(slurm_cluster: ModuleType, tmp_path: Path, clusterctl: Run) -> Iterator[Up]:
    """`up` of a machine in a cluster: its exit code and what it says; afterwards nothing of it is here or there."""
    slurm_cluster.write_client_files(tmp_path)
    store = tmp_path / "store"
    say = partial(
        clusterctl, HOME=str(tmp_path), CLUSTERCTL_HOME=str(store), CLUSTERCTL_PLACE_PYTHON=slurm_cluster.PLACE_PYTHON
    )

    def up(machine: dict[str, object], *, cluster: str = "mini", nodes: int = 1, **environment: str) -> tuple[int, str]:
        work = {"kind": "sft", "tokens": 1e6} if "gpu" in machine else {"kind": "rlcef", **TINY}
        stage = {"name": "work", "model": "clusterctl/quickstart", "job": {"command": "true"}, **work}
        known = {"name": "cpu", "nodes": 16, "vcpus": 16, "memory_gib": 60, "usd_per_hour": 1}
        fleet = {"targets": [f"slurm:{cluster}"], "machines": [known | machine]}
        spec = {
            "name": "bad",
            "stages": [stage],
            "fleet": {**fleet, "nodes": nodes} if "gpu" in machine else fleet,
            "limits": {"usd": 900, "hours": 1},
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(spec))
        ended = say("up", "run.yaml", "--yes", "--detach", "--allow-over-limit", **environment)
        return ended.returncode, ended.stderr

    yield up
    assert json.loads(say("status", "--json").stdout) == []
    assert slurm_cluster.run("login", "squeue", "--noheader", user="skyu") == ""
    assert "bad" not in slurm_cluster.run("login", "ls", "/home/skyu/.clusterctl/runs", user="skyu", check=False)


@pytest.mark.parametrize(
    ("cluster", "machine", "nodes", "code", "says", "hint"),
    [
        ("big", {}, 1, 2, "~/.slurm/config names no cluster `big`; it has mini", "a block `Host NAME`"),
        ("mini", {"name": "nope"}, 1, 3, "mini: there is no partition `nope`; there are all, cpu, gpu", "`sinfo"),
        ("mini", {"name": "closed"}, 1, 3, "mini: there is no partition `closed`; there are all, cpu, gpu", "`sinfo"),
        ("mini", GPUS, 1, 3, "mini: partition `cpu` has no node with 8x H100; it has no GPUs", "`sinfo"),
        (
            "mini",
            {"name": "gpu", **GPUS, **LARGE},
            3,
            3,
            "wants 3 nodes, and partition `gpu` has 2 of that kind",
            "`sinfo",
        ),
        ("mini", {"vcpus": 64}, 1, 3, "no node of partition `cpu` has 62 vCPUs", "`sinfo"),
    ],
)
def test_what_the_cluster_can_not_have(
    laptop: Up, cluster: str, machine: dict[str, object], nodes: int, code: int, says: str, hint: str
) -> None:
    ended, said = laptop(machine, cluster=cluster, nodes=nodes)
    assert ended == code, said
    assert says in said
    assert (said.count("error: "), said.count("hint: "), hint in said) == (1, 1, True), said


def test_a_full_disk_in_the_place(laptop: Up, slurm_cluster: ModuleType) -> None:
    slurm_cluster.run("login", "mkdir", "-p", SMALL_DISK, user="skyu")
    slurm_cluster.run("login", "mount", "-t", "tmpfs", "-o", "size=512k,uid=4242", "tmpfs", SMALL_DISK)
    try:
        ended, said = laptop({}, CLUSTERCTL_PLACE=f"{SMALL_DISK}/place")
    finally:
        slurm_cluster.run("login", "umount", SMALL_DISK)
    assert ended == 1, said
    assert "mini: clusterctl can't be put there: " in said
    assert "No space left on device" in said
    assert (said.count("error: "), said.count("hint: ")) == (1, 1), said


GARBAGE = r"""
head -c 100000 /dev/urandom >>"$CLUSTERCTL_REPORTS"
say() { printf '%s\n' "$1" >>"$CLUSTERCTL_REPORTS"; }
say ''; say '[1, 2'; say '{"at": "yesterday", "stage": "rlcef", "step": 1, "of": 2}'
at=$(date -u +%Y-%m-%dT%H:%M:%S+00:00)
say "{\"at\": \"$at\", \"stage\": \"rlcef\", \"step\": -7, \"of\": 2}"
say "{\"at\": \"$at\", \"cost\": \"tokens\", \"quantity\": 1e300, \"unit\": \"x\", \"usd\": \"1e300\"}"
for step in 1 2; do say "{\"at\": \"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\", \"stage\": \"rlcef\", \"step\": $step, \"of\": 2}"; sleep 1; done
echo '{}' >"$CLUSTERCTL_RESULT"
"""
OWN = {"kind": "rlcef", "model": "clusterctl/quickstart", **TINY, "steps": 2, "job": {"command": GARBAGE}}


@pytest.mark.slow  # SkyPilot prepares two allocations, and one's job is started six times
def test_what_is_wrong_with_a_job_is_said_once(slurm_cluster: ModuleType, tmp_path: Path, clusterctl: Run) -> None:
    """A trainer that reports garbage, and a framework whose environment nobody has made on nodes without internet."""
    slurm_cluster.write_client_files(tmp_path)
    trl = yaml.safe_load((bundle_root() / "templates" / "specs" / "smoke-trl-grpo.yaml").read_text("utf-8"))
    machine = {"name": "cpu", "nodes": 1, "vcpus": 16, "memory_gib": 60, "usd_per_hour": 3.6}
    runs: dict[str, tuple[Run, str]] = {}
    for name, stage in {"garbage": OWN, "missing": trl["stages"][0]}.items():
        say = partial(clusterctl, HOME=str(tmp_path), CLUSTERCTL_PLACE_PYTHON=slurm_cluster.PLACE_PYTHON)
        fleet, limits = {"targets": ["slurm:mini"], "machines": [machine]}, {"usd": 20, "hours": 3}
        spec = trl | {"name": name, "stages": [stage], "fleet": fleet, "limits": limits}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(spec))
        runs[name] = say, started(say, tmp_path / name, "--allow-over-limit")

    def row(name: str) -> dict[str, Any]:
        say, run = runs[name]
        return seen(say, tmp_path / name, run)

    for name in runs:
        until(lambda name=name: row(name)["state"] in {"finished", "failed", "stopped"}, 900, pause=5)  # type: ignore[misc]
    garbage, missing = row("garbage"), row("missing")
    assert (garbage["state"], garbage["step"]) == ("finished", 2), garbage
    wrong = [
        problem["what"] for problem in garbage["problems"] if "does not count, nor do more like it" in problem["what"]
    ]
    assert 1 <= len(wrong) <= 10, garbage["problems"]
    assert float(garbage["usd"]) < 10
    assert missing["state"] == "failed", missing
    assert "setup ended with exit code" in missing["note"], missing["note"]
    assert "trl" in missing["note"]
    assert slurm_cluster.run("login", "squeue", "--noheader", user="skyu") == ""


SMALL_MIB = 96
FILLS = r"""
for step in $(seq $(($(grep -c '"step"' "$CLUSTERCTL_REPORTS") + 1)) 900); do
  echo "{\"at\": \"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\", \"stage\": \"rlcef\", \"step\": $step, \"of\": 900}" >>"$CLUSTERCTL_REPORTS"
  [ $step = 3 ] && head -c 1G /dev/zero >"$CLUSTERCTL_CHECKPOINTS/large"
  sleep 1
done
"""


@pytest.mark.slow  # SkyPilot prepares an allocation, and the disk is full for three minutes
def test_a_run_goes_on_where_the_shared_disk_is_full_for_a_while(
    slurm_cluster: ModuleType, tmp_path: Path, clusterctl: Run
) -> None:
    """A trainer fills it: the run is told from a dead one, its machines are kept, and its bill is the scheduler's."""
    slurm_cluster.write_client_files(tmp_path)
    machine = {"name": "cpu", "nodes": 1, "vcpus": 16, "memory_gib": 60, "usd_per_hour": 3.6}
    stage = {"kind": "rlcef", "model": "clusterctl/quickstart", **TINY, "steps": 900, "job": {"command": FILLS}}
    fleet = {"targets": ["slurm:mini"], "machines": [machine]}
    spec = {"name": "fills", "stages": [stage], "fleet": fleet, "limits": {"usd": 9, "hours": 2}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(spec))
    store = tmp_path / "store"
    with slurm_cluster.small_disk(SMALL_MIB) as disk:
        there = {"CLUSTERCTL_PLACE": str(disk / "place"), "CLUSTERCTL_PLACE_PYTHON": slurm_cluster.PLACE_PYTHON}
        say = partial(clusterctl, HOME=str(tmp_path), **there)
        run = started(say, store)

        def said() -> str:
            return " ".join(problem["what"] for problem in seen(say, store, run)["problems"])

        until(lambda: "make room" in said() or "can't be written" in said(), 900, pause=3)
        time.sleep(120)
        row = seen(say, store, run)
        assert row["state"] == "running", row
        (disk / "place" / "runs" / run / "checkpoints" / "large").unlink()
        until(lambda: seen(say, store, run)["step"] > row["step"] + 5, 180, pause=3)
        assert "make room" not in said()
        down = say("down", run, "--yes", CLUSTERCTL_HOME=str(store))
        assert (down.returncode, "nothing left running" in down.stdout) == (0, True), down.stderr
        (paid,) = allocations(disk / "place")
        row = seen(say, store, run)
        assert float(row["usd"]) == pytest.approx((paid.until - paid.since) * 3.6 / 3600, abs=0.0021)
        end_jobs()
