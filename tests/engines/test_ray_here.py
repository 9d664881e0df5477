"""Real Ray and a real all-reduce by the programs of jobs: two ranks on this machine, one that never comes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from roles_here import CACHE

from clusterctl.jobs.role_template import jobs_folder

LIB = jobs_folder() / "lib"
SHOW = "import ray; ray.init(); r = ray.cluster_resources(); print('GPUs', r['GPU'], len(ray.nodes()), 'nodes')"


@pytest.fixture
def environment() -> Path:
    if not (CACHE / "verl" / "made-from.lock").exists():
        pytest.skip("no environment verl: tests/engines/install.sh makes it")
    return CACHE / "verl" / "bin"


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    yield number
    listing = subprocess.run(["pgrep", "-f", f"ray-{number}|:{number}"], capture_output=True, text=True, check=False)
    assert listing.stdout.split() == [], "something of Ray is left"


def rank(environment: Path, number: int, *words: str) -> subprocess.Popen[str]:
    variables = {
        "PATH": f"{environment}:/usr/bin:/bin",
        "HOME": os.environ["HOME"],
        "CLUSTERCTL_NODE_RANK": str(number),
        "CLUSTERCTL_HEAD": "127.0.0.1",
        "RAY_DISABLE_MEMORY_MONITOR": "1",
    }
    command = [str(environment / "python"), str(LIB / "clusterctl_ray.py"), *words]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(*ranks: subprocess.Popen[str]) -> None:
    for each in ranks:
        with suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)
        each.wait(timeout=20)
        if each.stdout:
            each.stdout.close()


def test_two_ranks_become_a_cluster_and_one_that_never_comes_is_named(environment: Path, port: int) -> None:
    common = ("--nodes", "2", "--gpus", "4", "--port", str(port))
    other = rank(environment, 1, *common)
    head = rank(environment, 0, *common, "--deadline-seconds", "120", "--", "python", "-c", SHOW)
    alone = None
    try:
        said = head.communicate(timeout=180)[0]
        assert head.returncode == 0, said
        assert "GPUs 8.0 2 nodes" in said
        assert other.wait(timeout=60) is not None, "its head is gone"
        alone = rank(environment, 0, *common, "--deadline-seconds", "20", "--", "python", "-c", SHOW)
        said = alone.communicate(timeout=120)[0]
        assert (alone.returncode, "Ray lacks 1 of 2 nodes: ranks 1" in said) == (1, True), said
    finally:
        ended(head, other, *([alone] if alone else []))


def test_ranks_add_up_before_anything_is_loaded(environment: Path) -> None:
    launch = [str(environment / "python"), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(LIB / "clusterctl_preflight.py"), "--cpu", "--mib", "1"],
        env={"PATH": f"{environment}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "all-reduce of 1 MiB over 2 ranks" in done.stdout
