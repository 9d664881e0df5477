"""The sandbox against a host that hands core dumps to a handler, and as a user to whom a cgroup is delegated.  Root only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterctl.sandbox.cgroup_parent import parent
from clusterctl.sandbox.cgroups import VERSION_1
from clusterctl.sandbox.isolation import BUBBLEWRAP
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import ProgramRequest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the kernel's settings")
PATTERN = Path("/proc/sys/kernel/core_pattern")
USER = 5432


@pytest.fixture
def dumped(tmp_path: Path) -> Iterator[Path]:
    """The file that a handler of core dumps writes, while there is one."""
    before, file, handler = PATTERN.read_text(encoding="utf-8"), tmp_path / "dumped", tmp_path / "handler"
    handler.write_text(f"#!/bin/sh\necho $1 >> {file}\ncat > /dev/null\n", encoding="utf-8")
    handler.chmod(0o755)
    try:
        PATTERN.write_text(f"|{handler} %e", encoding="utf-8")
        yield file
    finally:
        PATTERN.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()",
        "import os, resource; resource.prlimit(0, resource.RLIMIT_CORE, (1 << 30, -1)); os.abort()",
        "import os, resource\nif os.fork() == 0:\n    os.abort()\nos.wait(); os.execvp('python3', ['python3', '-c', 'import os; os.abort()'])",
    ],
    ids=["as it is", "limit 0", "another limit", "children"],
)
def test_the_hosts_handler_gets_no_program(dumped: Path, code: str) -> None:
    subprocess.run([sys.executable, "-c", "import os; os.abort()"], check=False)
    verdict = run_program(ProgramRequest(language="python", code=code), None, BUBBLEWRAP)
    assert verdict.run is not None
    assert verdict.run.exit_code == 128 + 6
    time.sleep(0.5)  # for a handler to write
    assert len(dumped.read_text(encoding="utf-8").splitlines()) == 1, "ours, to prove that the handler works"


def test_a_user_to_whom_a_cgroup_is_delegated_has_limits(tmp_path: Path) -> None:
    above = parent()
    if above is None or above.version is not VERSION_1:
        pytest.skip("this machine has no cgroups of memory in version 1")
    delegated = Path(above.folders[0]) / "clusterctl-test-delegated"
    delegated.mkdir()
    try:
        for file in (delegated, delegated / "cgroup.procs"):
            os.chown(file, USER, USER)
        shown = _as_user(delegated, tmp_path)
    finally:
        delegated.rmdir()
    assert [line["status"] for line in shown] == ["memory limit", "finished"] * 2
    assert all("clusterctl-sandbox-of-" in line["stdout"] for line in shown[1::2])


def _as_user(cgroup: Path, folder: Path) -> list[dict[str, str]]:
    """What became of two programs in the sandboxes of that user, by each mechanism."""
    script = f"""
import csv, encodings.idna, json, logging, os, resource, tarfile
from pathlib import Path
Path({str(cgroup / "cgroup.procs")!r}).write_text(str(os.getpid()))
from clusterctl.sandbox.isolation import BUBBLEWRAP, UNSHARE
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import Policy, ProgramRequest
os.setgroups([]); os.setgid({USER}); os.setuid({USER})
for isolation in (BUBBLEWRAP, UNSHARE):
    for code in ("x = [bytearray(1 << 20) for _ in range(1000)]", "print(open('/proc/self/cgroup').read())"):
        verdict = run_program(ProgramRequest(language="python", code=code), Policy(memory_mib=64), isolation)
        print(json.dumps({{"status": verdict.status.value, "stdout": verdict.run.stdout.decode()}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=folder.anchor
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
