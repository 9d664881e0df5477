"""A real Kubernetes for tests: built from its Go modules by build.sh, its images made by images.sh."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import ControlPlane
from filelock import FileLock
from laptop import place_of_runs
from real_node import ADDRESS, SERVICES, RealNode, make_bridge, remove_bridge

from clusterctl.targets.kubernetes_api import Kubernetes

HERE = Path(__file__).parent
MOST_SECONDS = 3300.0
"""From the start of all checks until tests whose programs are not built by then are left out, each named."""


def made_by(script: str) -> Path:
    """The folder that a script has made or makes.  Leaves the test out where that takes longer than all checks may."""
    began = float(os.environ.get("CLUSTERCTL_CHECKS_BEGAN", time.time()))
    left = max(began + MOST_SECONDS - time.time(), 5.0)
    try:
        ended = subprocess.run(["sh", HERE / script], capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(
            f"{script} has not ended {MOST_SECONDS / 60:.0f} minutes after the start: run `sh {HERE / script}` first"
        )
    assert ended.returncode == 0, ended.stderr
    return Path(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of kube-apiserver, kubectl and the others."""
    return made_by("build.sh")


@pytest.fixture(scope="session")
def layers() -> Path:
    """The folder of the images' layers."""
    return made_by("images.sh")


@pytest.fixture
def bridge(programs: Path) -> Iterator[None]:
    """Of real nodes, for whoever starts a control plane of his own on it."""
    with FileLock(programs.parent / "node.lock", timeout=MOST_SECONDS):
        make_bridge()
        yield
        remove_bridge()


@pytest.fixture(scope="module")
def plane(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with kwok on loopback."""
    with ControlPlane(tmp_path_factory.mktemp("plane"), programs) as started:
        started.start_kwok()
        yield started


@pytest.fixture(scope="module")
def node(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A control plane and a real node, whose pods reach it.  One at a time: it has a bridge with fixed addresses."""
    layers = made_by("images.sh")
    with FileLock(programs.parent / "node.lock", timeout=MOST_SECONDS):
        yield from one_node(programs, layers, tmp_path_factory)


def one_node(
    programs: Path, layers: Path, tmp_path_factory: pytest.TempPathFactory, *, lost_seconds: int = 300
) -> Iterator[RealNode]:
    """The node, and nothing of it afterwards."""
    make_bridge()
    try:
        with (
            ControlPlane(
                tmp_path_factory.mktemp("real"), programs, SERVICES, 443, ADDRESS, lost_seconds=lost_seconds
            ) as started,
            RealNode(started, layers) as real,
        ):
            yield real
    finally:
        remove_bridge()


@pytest.fixture(scope="module")
def two_nodes(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealNode, RealNode]]:
    """Two real nodes with eight H100 each, on which SkyPilot works; supervisors run on the first."""
    layers = made_by("images.sh")
    with FileLock(programs.parent / "node.lock", timeout=MOST_SECONDS):
        for first in one_node(programs, layers, tmp_path_factory, lost_seconds=40):
            place_of_runs(first)
            with RealNode(first.plane, layers, 1) as second:
                second.load_sky()
                first.plane.kubectl("taint", "node", second.name, "nvidia.com/gpu=present:NoSchedule")
                yield first, second


@pytest.fixture
def place(plane: ControlPlane) -> Kubernetes:
    """The control plane as the product reaches it."""
    return plane.place()
