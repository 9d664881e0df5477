"""Who holds a GPU, and what it says that it does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clusterctl.telemetry import phase
from clusterctl.telemetry.gpu_processes import GpuProcesses
from clusterctl.telemetry.phase_socket import MAX_SOCKET_PATH, Phases, socket_path

STAT = "{pid} (my (odd) name) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {ticks}" + " 0" * 30
POD = "1f0c9a3e-0b1d-4c0e-9f55-2d9a5b1c7e01"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc without processes."""
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))
    (tmp_path / "stat").write_text(f"btime {round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))}\n")
    return tmp_path


def process(proc: Path, pid: int, *, cgroup: str = "0::/user.slice", ticks: int = 100, **environment: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(STAT.format(pid=pid, ticks=ticks))
    (folder / "cgroup").write_text(cgroup + "\n")
    pairs = (f"{name}={value}" for name, value in environment.items())
    (folder / "environ").write_bytes(b"".join(os.fsencode(pair) + b"\0" for pair in pairs))


@pytest.mark.parametrize(
    ("cgroup", "environment", "run", "role", "pod"),
    [
        ("0::/", {"CLUSTERCTL_RUN": "r1", "CLUSTERCTL_ROLE": "trainer", "SLURM_JOB_ID": "7"}, "r1", "trainer", None),
        ("0::/", {"SLURM_JOB_ID": "77", "HOSTNAME": "n"}, "slurm/77", None, None),
        ("0::/system.slice/slurmstepd.scope/job_123/step_0/user/task_0", {}, "slurm/123", None, None),
        ("4:memory:/slurm/uid_1000/job_456/step_batch", {}, "slurm/456", None, None),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/cri-containerd-ab.scope",
            {"HOSTNAME": "trainer-0"},
            f"pod/{POD}",
            None,
            "trainer-0",
        ),
        (
            f"9:cpu:/kubepods/besteffort/pod{POD}/deadbeef",
            {"CLUSTERCTL_RUN": "r2", "HOSTNAME": "w-1"},
            "r2",
            None,
            "w-1",
        ),
        ("0::/user.slice", {"OTHER": "x"}, None, None, None),
    ],
)
def test_a_process_says_for_whom_it_works(
    proc: Path, cgroup: str, environment: dict[str, str], run: str | None, role: str | None, pod: str | None
) -> None:
    process(proc, 5, cgroup=cgroup, ticks=1000 * os.sysconf("SC_CLK_TCK"), **environment)
    found = GpuProcesses().look_up(5)
    assert found is not None
    assert (found.run, found.role, found.pod) == (run, role, pod)
    assert found.started_seconds == pytest.approx(1000, abs=3)


def test_a_name_of_a_run_that_is_not_unicode_can_be_written(proc: Path) -> None:
    process(proc, 5, CLUSTERCTL_RUN=os.fsdecode(b"r\xff"))
    found = GpuProcesses().look_up(5)
    assert found is not None
    assert found.run == "r\ufffd"


def test_of_several_the_one_with_a_run_and_most_memory_counts(proc: Path) -> None:
    process(proc, 1, ticks=1)
    process(proc, 2, CLUSTERCTL_RUN="small")
    process(proc, 3, CLUSTERCTL_RUN="big")
    processes = GpuProcesses()
    found = processes.owner([(1, 9000), (2, 10), (3, 20), (99, 99999)])
    assert found is not None
    assert found.run == "big"
    assert processes.owner([(99, 1)]) is None
    assert processes.owner([]) is None


def test_a_pid_that_was_used_again_is_another_process(proc: Path) -> None:
    process(proc, 5, CLUSTERCTL_RUN="one")
    processes = GpuProcesses()
    assert processes.look_up(5).run == "one"  # type: ignore[union-attr]
    process(proc, 5, ticks=200, CLUSTERCTL_RUN="two")
    assert processes.look_up(5).run == "two"  # type: ignore[union-attr]


def test_the_phase_of_a_role_and_of_its_run(proc: Path) -> None:
    process(proc, 8, SLURM_JOB_ID="3")
    phases = Phases(GpuProcesses())
    phases.record("generate r1 rollout", 0, at=10.0)
    phases.record("Weight-Sync r1 trainer", 0, at=11.0)
    phases.record("train", 8, at=12.0)
    phases.record("train", 9999, at=12.0)
    phases.record("", 8, at=13.0)
    assert phases.of("r1", "rollout", since=0.0) == ("generate", {"trainer": "weight_sync"})
    assert phases.of("r1", "rollout", since=10.5) == (None, {"trainer": "weight_sync"})
    assert phases.of("r1", "reward", since=0.0) == (None, {"trainer": "weight_sync", "rollout": "generate"})
    assert phases.of("slurm/3", None, since=0.0) == ("train", {})
    assert phases.of("unknown", None, since=0.0) == (None, {})


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phases:
    path = socket_path(tmp_path)
    phases = Phases(GpuProcesses())
    phases.listen(path)
    monkeypatch.setenv("CLUSTERCTL_PHASES", str(path))
    return phases


def heard(phases: Phases, run: str, role: str | None = None) -> str | None:
    deadline = time.monotonic() + 120
    while (said := phases.of(run, role, since=0.0)[0]) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return said


def test_a_phase_arrives_from_python_and_from_anything_else(listening: Phases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_RUN", "r7")
    monkeypatch.setenv("CLUSTERCTL_ROLE", "trainer")
    phase("weight sync")
    assert heard(listening, "r7", "trainer") == "weight_sync"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"sandbox r8 rollout\n", os.environ["CLUSTERCTL_PHASES"])
    assert heard(listening, "r8", "rollout") == "sandbox"


def test_a_process_that_says_only_its_phase_is_known_by_the_kernel(listening: Phases) -> None:
    code = "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'train', os.environ['CLUSTERCTL_PHASES']); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"SLURM_JOB_ID": "31"}) as child:
        assert heard(listening, "slurm/31") == "train"
        child.kill()


def test_a_phase_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTERCTL_PHASES", raising=False)
    phase("train")
    for path in (str(tmp_path / "nobody"), "x" * 500, "\0bad"[1:], str(tmp_path)):
        monkeypatch.setenv("CLUSTERCTL_PHASES", path)
        phase("train")
        phase(None)  # type: ignore[arg-type]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        monkeypatch.setenv("CLUSTERCTL_PHASES", str(tmp_path / "full"))
        began = time.monotonic()
        for _ in range(2000):  # nobody reads: more than any queue holds
            phase("train")
        assert time.monotonic() - began < 60


def test_phase_imports_nothing_of_ours_and_little_else() -> None:
    code = "import sys; before = set(sys.modules); import clusterctl.telemetry; print(sorted(n for n in set(sys.modules) - before if n.partition('.')[0] not in sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['clusterctl', 'clusterctl.telemetry']"


def test_the_socket_has_a_short_path(tmp_path: Path) -> None:
    assert socket_path(Path("/data")) == Path("/data/phases.sock")
    long = socket_path(tmp_path / ("x" * 200))
    assert len(str(long)) <= MAX_SOCKET_PATH
    assert long != socket_path(tmp_path / ("y" * 200))
