"""Ranks with the agent of their node beside them, run as a place runs them, on the stand-in for NVML."""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from role_ranks import Role

from clusterctl.jobs.quickstart import run_token
from clusterctl.store import open_store
from clusterctl.targets.processes import tagged
from clusterctl.targets.slurm_access import agent_command

sys.path.insert(0, str(Path(__file__).parents[1] / "telemetry"))

from running_agent import until
from standin import Script, library


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path, "node_agent.py")


def read(role: Role, table: str) -> pl.DataFrame:
    now = datetime.now(tz=UTC)
    with open_store(str(role.run / "telemetry")) as store:
        return store.read(table, start=now - timedelta(hours=1), end=now + timedelta(minutes=1))


def page(log: str) -> str:
    """What the agent of this log shows to Prometheus."""
    found = re.search(r"metrics on (\S+)", log)
    with urllib.request.urlopen(found[1] if found else "data:,", timeout=60) as answer:
        return str(answer.read().decode())


def agents(run: str) -> list[str]:
    """Processes of a run that are no rank and no job of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if run in command and "clusterctl.telemetry.agent" in command:
                found.append(entry.name)
    return found


def test_the_gpus_of_a_node_are_measured_for_as_long_as_its_role_lives(role: Role, tmp_path: Path) -> None:
    script = Script(tmp_path / "nvml.script")
    script.set("gpus 3")
    of_run = {"CLUSTERCTL_RUN": "far-1", "CLUSTERCTL_ROLE": "trainer"}
    role.write(
        "bash", "-c", "echo $$ $CLUSTERCTL_PHASES; sleep 60", environment=of_run, agent=agent_command(str(tmp_path))
    )
    rank = role.start(
        NVML_SCRIPT=str(script.file), LD_LIBRARY_PATH=str(library()), SLURMD_NODENAME="gpu1", CUDA_VISIBLE_DEVICES="0,1"
    )
    role.wait_for("ready")
    pid, phases = role.log.split()
    until(Path(phases).is_socket)
    script.set("gpus 3", f"gpu 0 pid {pid} 4000", "gpu 0 util 90")
    log = tmp_path / "logs" / "telemetry.gpu1.log"
    until(lambda: 'run="far-1"' in page(log.read_text()))
    rank.send_signal(signal.SIGTERM)
    assert rank.wait(30) == 128 + signal.SIGTERM
    assert agents(str(tmp_path)) == [], "it never outlives its role"
    rows = read(role, "gpu")
    assert set(rows["node"]) == {"gpu1"}
    assert set(rows["gpu"]) == {"0", "1"}, "the third one is another's"
    assert set(rows.filter(gpu="0").select("run", "role").drop_nulls().iter_rows()) == {("far-1", "trainer")}
    assert set(rows.filter(gpu="1")["run"]) == {None}
    assert log.read_text().endswith("stopped\n"), "it has written its last rows"
    assert role.says()["told"] is True


def test_a_sandbox_server_is_asked_by_the_agent_beside_it_and_a_missing_gpu_is_said(role: Role, tmp_path: Path) -> None:
    (role.folder / "sandbox.token").write_text(run_token(tmp_path))
    port = 20000 + os.getpid() % 20000
    serve = f"exec {sys.executable} -P -m clusterctl.jobs.sandbox_role {port} 1 256 sandbox.token"
    of_run = {
        "CLUSTERCTL_RUN": "far-1",
        "CLUSTERCTL_ROLE": "sandbox",
        "CLUSTERCTL_FOLDER": str(role.folder),
        "CLUSTERCTL_PORT_HTTP": str(port),
    }
    role.write("bash", "-c", serve, environment=of_run, agent=agent_command(str(tmp_path)))
    rank = role.start(SLURMD_NODENAME="cpu1")
    until(lambda: read(role, "sandbox").height > 0, 60)
    (role.folder / "stop").write_text("now")
    assert rank.wait(30) != 0
    rows = read(role, "sandbox")
    assert set(rows.select("node", "run").iter_rows()) == {("cpu1", "far-1")}
    assert rows["workers"].max() == 1
    assert read(role, "host")["node"].unique().to_list() == ["cpu1"]
    (said,) = read(role, "notes").filter(kind="absent", subject="nvml")["text"]
    assert said.startswith("no GPU seen by NVML: ")
    assert list(tagged(tmp_path)) == []


def test_a_rank_does_not_wait_for_an_agent_that_cannot_start(role: Role, tmp_path: Path) -> None:
    role.write("bash", "-c", "exit 3", agent="exec /no/such/python")
    assert role.start().wait(20) == 3
    assert "/no/such/python" in next((tmp_path / "logs").glob("telemetry.*.log")).read_text()


def test_without_an_agent_it_is_the_rank_itself(role: Role) -> None:
    role.write("bash", "-c", "echo $PPID; exit 4", agent="")
    rank = role.start()
    assert rank.wait(20) == 4
    assert role.log.strip() == str(rank.pid)
