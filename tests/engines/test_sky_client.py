"""SkyPilot's real server as the client starts it: alone in its home, gone with whoever started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from clusterctl.targets.base import MachineRequest
from clusterctl.targets.kubernetes_tasks import launch_task
from clusterctl.targets.sky_client import SkyPilot, SkyRequest
from clusterctl.targets.sky_processes import PYTHON_VARIABLE
from planners.runs.reconcile import Cause

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "targets"))

from planned_run import planned, run_of

PYTHON = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "clusterctl-engines"
    / "remote"
    / "bin"
    / "python"
)


QUEUE_OF = """
import json, sys
import sky
from sky.skypilot_config import get_effective_queue_admission_timeout as timeout, get_effective_queue_name as queue
(resources,) = sky.Task.from_yaml_config(json.load(sys.stdin)).resources
asked = {"cloud": "kubernetes", "region": "prod", "override_configs": resources.cluster_config_overrides}
print(json.dumps([queue(**asked), timeout(**asked)]))
"""


def servers(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(home: Path, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while servers(home) and time.monotonic() < until:
        time.sleep(0.2)
    return not servers(home)


def test_an_error_of_skypilot_comes_back_as_ours_and_the_server_ends_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(PYTHON))
    home = tmp_path / "sky"
    sky = SkyPilot(home, "0123abcd", lambda: "Host nowhere\n  HostName 127.0.0.1\n  Port 1\n  User nobody\n")
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    until = time.monotonic() + 240
    while (request := sky.state("job")) is not None and request.open and time.monotonic() < until:
        time.sleep(0.5)
    assert request is not None
    assert request.error is not None
    assert request.error.message == "the machines are not there any more: Cluster 'no-such-cluster' does not exist."
    assert (home / ".sky" / "catalogs" / "v8" / "common" / "accelerators.csv").exists()
    sky.close()
    assert gone(home)


@pytest.mark.parametrize("with_it", ["nothing", "its worker and server"])
def test_a_client_that_is_killed_leaves_no_server(tmp_path: Path, with_it: str) -> None:
    """What is killed with it can't end the executors, and no other client may come to this machine."""
    home = tmp_path / "sky"
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from clusterctl.targets.sky_client import SkyPilot
        SkyPilot(Path(sys.argv[1]), "0123abcd").ask("job", "exec", name="no-such-cluster", task={"run": "true"})
        time.sleep(600)
    """)
    environment = {**os.environ, PYTHON_VARIABLE: str(PYTHON)}
    client = subprocess.Popen([sys.executable, "-c", code, str(home)], env=environment)
    until = time.monotonic() + 120
    while not any("executor" in " ".join(each.cmdline()) for each in servers(home)) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(servers(home)) >= 3, "worker, server, an executor"
    lines = {each: " ".join(each.cmdline()) for each in servers(home)}
    client.send_signal(signal.SIGKILL)
    for process, line in lines.items():
        if with_it != "nothing" and ("sky_worker.py" in line or "sky.server.server" in line):
            process.kill()
    client.wait()
    assert gone(home)


def test_what_a_worker_leaves_that_is_killed_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(PYTHON))
    home = tmp_path / "sky"
    sky = SkyPilot(home, "0123abcd")
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    until = time.monotonic() + 120
    while not any("executor" in " ".join(each.cmdline()) for each in servers(home)) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(servers(home)) >= 3
    assert sky._worker is not None
    sky._worker.kill()
    assert gone(home, 30.0)
    sky.close()


@pytest.mark.parametrize("who", ["sky_worker.py", "sky.server.server"])
def test_a_server_that_is_killed_is_said_to_be_lost_and_the_next_request_starts_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(PYTHON))
    home = tmp_path / "sky"
    sky = SkyPilot(home, "0123abcd")
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    until = time.monotonic() + 120
    while not any(who in " ".join(each.cmdline()) for each in servers(home)) and time.monotonic() < until:
        time.sleep(0.2)
    for each in servers(home):
        if who in " ".join(each.cmdline()):
            each.kill()

    def ended() -> SkyRequest:
        until = time.monotonic() + 240
        while (request := sky.state("job")) is not None and request.open and time.monotonic() < until:
            time.sleep(0.2)
        assert request is not None
        assert request.error is not None
        return request

    error = ended().error
    assert error is not None
    assert error.cause is Cause.LAUNCHER
    assert error.message == "SkyPilot's server was lost: it was ended by signal 9; the next request starts another"
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    assert "the machines are not there any more" in str(ended().error)
    sky.close()
    assert gone(home)


@pytest.mark.parametrize(("queue", "read"), [("research", ["research", -1]), ("", [None, None])])
def test_skypilot_reads_the_queue_of_kueue_out_of_what_we_ask_for(
    tmp_path: Path, queue: str, read: list[object]
) -> None:
    """With a queue it labels a pool's pods as one group of it."""
    plan, now = planned(tmp_path, "kubernetes:prod"), datetime(2026, 11, 30, tzinfo=UTC)
    request = MachineRequest(resource_id="rl-1/machine/1", pool=plan.pools[0], index=0, since=now)
    task = launch_task(
        run_of(plan, tmp_path),
        context="prod",
        name="cctl-rl-1",
        requests=[request],
        image="",
        queue=queue,
        node_selector={},
        now=now,
        deadline=None,
    )
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    said = subprocess.run(
        [PYTHON, "-c", QUEUE_OF], input=json.dumps(task), env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout.splitlines()[-1]) == read
