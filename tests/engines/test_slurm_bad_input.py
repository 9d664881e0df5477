"""`up` on a real Slurm that can't do what it is asked for: one message with the way on, and nothing half done."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import Run

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
        ("mini", {"name": "gpu", **GPUS, **LARGE}, 3, 3, "wants 3 nodes, and partition `gpu` has 2 of that kind", "`sinfo"),
        ("mini", {"vcpus": 64}, 1, 3, "no node of partition `cpu` has 62 vCPUs", "`sinfo"),
    ],
)  # fmt: skip
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
