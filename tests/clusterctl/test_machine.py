"""Too little memory or too few threads: one message before anything heavy is imported, and no panic of polars."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterctl import machine
from clusterctl.errors import MachineError

Limited = Callable[[str, str], subprocess.CompletedProcess[str]]
UNUSED_USER = "54321"
AS_A_USER = [
    "setpriv", f"--reuid={UNUSED_USER}", f"--regid={UNUSED_USER}", "--clear-groups", "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override", "--bounding-set=+dac_override",
]  # fmt: skip
"""Root's processes are not counted; this user has no other process, and may read and write what root may."""


@pytest.fixture
def limited(scripts: Path, repo: Path, tmp_path: Path) -> Limited:
    """`limited("-u 1", "status")`: run a command under a limit of the shell."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPEC": str(repo / "templates/specs/quickstart.yaml"),
    }

    def run(limit: str, command: str) -> subprocess.CompletedProcess[str]:
        line = ["bash", "-c", f"ulimit {limit} && exec {scripts}/clusterctl {command}"]
        user = AS_A_USER if os.geteuid() == 0 and limit.startswith("-u") else []
        return subprocess.run(
            [*user, *line], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )

    return run


@pytest.mark.parametrize("command", ["plan $SPEC", "status", "up $SPEC --yes", "prices list"])
@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("-v 300000", "error: `ulimit -v` allows 292 MiB of the 1,536 MiB needed\n\nhint: free memory"),
        ("-d 100000", "error: `ulimit -d` allows 97 MiB of the 384 MiB needed\n\nhint: free memory"),
    ],
)
def test_little_memory(limited: Limited, limit: str, command: str, message: str, tmp_path: Path) -> None:
    done = limited(limit, command)
    assert (done.returncode, done.stdout) == (71, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root's processes are not counted")
@pytest.mark.parametrize("command", ["plan $SPEC", "status", "up $SPEC --yes"])
def test_no_further_thread(limited: Limited, command: str) -> None:
    done = limited("-u 1", command)
    assert (done.returncode, done.stdout) == (71, "")
    assert done.stderr.startswith("error: this user may start 0 of the 12 threads needed\n\nhint: end processes")
    assert done.stderr.count("\n") == 3


@pytest.mark.parametrize("limit", ["-v 100000 -d 60000", "-u 1"])
@pytest.mark.parametrize("command", ["--help", "--version", "init rlcef", "schema"])
def test_what_needs_little_works_with_little(limited: Limited, limit: str, command: str) -> None:
    if "-u" in limit and os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root's processes are not counted")
    done = limited(limit, command)
    assert (done.returncode, done.stderr) == (0, "")


def test_enough_is_enough(limited: Limited) -> None:
    done = limited("-v 1572864 -d 393216", "plan $SPEC")
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_that_could_start_end_when_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[machine.threading.Thread] = []
    start = machine.threading.Thread.start

    def start_three(self: machine.threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(machine.threading.Thread, "start", start_three)
    with pytest.raises(MachineError, match="may start 3 of the 12 threads"):
        machine.check_machine()
    assert not any(thread.is_alive() for thread in started)
