"""Supervisors as jobs of a real Slurm cluster, reached by real ssh; the machines of the run are simulated beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from clusterctl.targets import fake
from clusterctl.targets.remote_home import RemoteHome
from clusterctl.targets.shell import SshShell
from clusterctl.targets.slurm_supervisor import NAME, SlurmSupervisors

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import BEHAVIOUR, SPEC, Run, allocations, seen, started, until

PYTHON = "/srv/remote/bin/python"
"""Of the cluster: with our requirements, as a site without internet on its nodes has prepared it."""
ROOT = "/home/skyu/.far"


class Site:
    """The cluster as laptops reach it."""

    def __init__(self, cluster: ModuleType, config: Path) -> None:
        self.cluster = cluster
        self.shell = SshShell("mini", config)
        self.commands = SlurmSupervisors("cpu")

    def home(self, store: Path, *_: object) -> RemoteHome:
        return RemoteHome(store, self.shell, self.commands, "~/.far", python=PYTHON, pull_seconds=0.5)

    def say(self, *command: str, user: str = "skyu") -> str:
        return str(self.cluster.run("login", *command, user=user))

    def jobs(self, shown: str = "%N") -> list[str]:
        """Supervisors that are queued or run: their nodes."""
        rows = self.say("squeue", "--noheader", f"--format=%j|{shown}").splitlines()
        return [row.partition("|")[2] for row in rows if row.startswith(f"{NAME}-far-away")]

    def supervisors(self, node: str) -> str:
        """Processes of supervisors on a node."""
        return str(self.cluster.run(node, "pgrep", "-f", "clusterctl.runs.supervisor", check=False))

    def behave(self, **settings: object) -> None:
        text = json.dumps(settings)
        self.shell.write(f"{ROOT}/fake/settings.json", text.encode())

    def nodes(self, run: str) -> list[tuple[float, float]]:
        """When each simulated node was allocated and released."""
        found = allocations(self.shell.read(f"{ROOT}/fake/{run}.place") or b"{}").values()
        return [(began, ended) for began, ended in found if ended is not None]


@pytest.fixture
def site(slurm_cluster: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(slurm_cluster, slurm_cluster.write_client_files(tmp_path))
    monkeypatch.setattr(fake, "_home_in", found.home)
    found.say("rm", "-rf", ROOT)
    (tmp_path / "run.yaml").write_text(SPEC)
    found.behave(**BEHAVIOUR)
    yield found
    for number in found.jobs("%i"):
        with suppress(subprocess.CalledProcessError):
            found.say("scancel", number)
    found.say("rm", "-rf", ROOT)


def laptop(store: Path) -> Path:
    (store / "fake").mkdir(parents=True)
    (store / "fake" / "settings.json").write_text(json.dumps({"home": "the cluster"}))
    return store


def test_a_run_ends_at_its_limit_without_its_laptop_and_another_takes_it_up(
    in_process: Run, site: Site, tmp_path: Path
) -> None:
    name = started(in_process, laptop(tmp_path / "a"), "--limit-usd", "0.10", "--allow-over-limit")
    until(site.jobs, 90, pause=0.3)
    shutil.rmtree(tmp_path / "a")
    until(lambda: not site.jobs(), 90, pause=0.3)
    b = laptop(tmp_path / "b")
    row = seen(in_process, b, name)
    assert (row["state"], "limit" in row["note"]) == ("stopped", True), row
    lived = sum(Decimal(str(round(ended - began, 6))) for began, ended in site.nodes(name))
    assert Decimal(row["usd"]) == pytest.approx(lived / 100, abs=Decimal("0.000003"))
    site.behave(step_seconds=0.005, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    up = in_process("up", name, "--yes", "--limit-usd", "9", CLUSTERCTL_HOME=str(b))
    assert (up.returncode, "has finished" in up.stdout) == (0, True), up.stderr
    assert "step 400/400" in in_process("logs", name, CLUSTERCTL_HOME=str(b)).stdout


@pytest.mark.slow
def test_a_supervisor_goes_on_when_it_is_killed_and_on_another_node_when_its_own_is_lost(
    in_process: Run, site: Site, tmp_path: Path
) -> None:
    a = laptop(tmp_path / "a")
    site.behave(step_seconds=2.0, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)  # it does not end by itself
    name = started(in_process, a)
    until(lambda: seen(in_process, a, name)["step"] > 0, 90, pause=0.3)
    (node,) = site.jobs()
    before = seen(in_process, a, name)["step"]
    site.cluster.run(node, "pkill", "-KILL", "-f", "clusterctl.runs.supervisor")
    until(lambda: seen(in_process, a, name)["step"] > before + 5, 90, pause=0.3)
    assert site.jobs() == [node], "the same job: its script has started it again"
    site.cluster.run(node, "pkill", "-KILL", "-f", "slurm_script")
    until(lambda: not site.jobs() and not site.supervisors(node), 30)
    assert seen(in_process, a, name)["state"] == "running", "and another job is started for it"
    until(lambda: site.jobs() not in ([], [""]), 60)
    (node,) = site.jobs()

    before = seen(in_process, a, name)["step"]
    site.cluster.switch_off(node)
    site.say("scontrol", "update", f"nodename={node}", "state=down", "reason=lost", user="root")
    until(lambda: site.jobs() and site.jobs()[0] not in {node, ""}, 400)  # Slurm itself waits two minutes
    until(lambda: seen(in_process, a, name)["step"] > before + 20, 180)
    events = json.loads(in_process("events", name, "--json", CLUSTERCTL_HOME=str(a)).stdout)
    assert len([event for event in events if event["kind"] == "launch"]) == 4, "nothing was launched twice"
    site.cluster.start(node)

    with site.cluster.paused("slurmctld"):
        begun = time.monotonic()
        row = seen(in_process, a, name)
        assert time.monotonic() - begun < 90
        assert any("can't be" in problem["what"] or "failed" in problem["what"] for problem in row["problems"]), row
    down = in_process("down", name, "--yes", CLUSTERCTL_HOME=str(a))
    assert (down.returncode, "nothing left running" in down.stdout) == (0, True), down.stderr
    until(lambda: not site.jobs(), 90, pause=0.3)
