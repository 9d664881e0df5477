"""The agent as it runs: what it writes, what it says, how it ends and how it is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from running_agent import RunningAgent, until, working
from standin import Script

from clusterctl.telemetry.exposition import parse, samples


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h")  # short: it holds a socket


@pytest.fixture
def agents() -> Iterator[list[RunningAgent]]:
    started: list[RunningAgent] = []
    yield started
    for agent in started:
        agent.process.kill()
        agent.process.wait()


def seconds_by(agent: RunningAgent, *keys: str) -> dict[tuple[object, ...], float]:
    frame = agent.read("gpu").group_by(*keys).agg(pl.col("seconds").sum())
    return {tuple(row[:-1]): row[-1] for row in frame.iter_rows()}


def test_rows_say_who_holds_a_gpu_and_why_it_idles(script: Script, home: Path, agents: list[RunningAgent]) -> None:
    script.set("gpus 3")
    with working("r1", "trainer", home, says="sandbox") as trainer, working("r2", "rollout", home) as rollout:
        script.set("gpus 3", f"gpu 0 pid {trainer} 4000", f"gpu 1 pid {rollout} 4000", "gpu 1 util 90")
        agents.append(agent := RunningAgent(home, script=script))
        keys = ("gpu", "run", "role", "reason")
        wanted = {
            ("0", "r1", "trainer", "waiting_sandbox"),
            ("1", "r2", "rollout", None),
            ("2", None, None, "no_process"),
        }
        until(lambda: wanted <= set(seconds_by(agent, *keys)))
        script.add("gpu 0 xid 79", "gpu 1 util 0")
        until(lambda: ("1", "r2", "rollout", "booting") in seconds_by(agent, *keys))
        page = parse(agent.page())
    idle = {
        (labels["gpu"], labels["reason"]): value for labels, value in samples(page, "clusterctl_gpu_idle_seconds_total")
    }
    assert idle["0", "waiting_sandbox"] > 0
    assert [value for _, value in samples(page, "DCGM_FI_DEV_XID_ERRORS")] == [79, 0, 0]
    ((labels, _), *_) = samples(page, "DCGM_FI_DEV_GPU_UTIL")
    assert labels == {
        "gpu": "0",
        "UUID": "GPU-00000000-0000-0000-0000-000000000000",
        "pci_bus_id": "00000000:01:00.0",
        "device": "nvidia0",
        "model": "NVIDIA H100 80GB HBM3",
        "hostname": "n1",
        "DCGM_FI_DRIVER_VERSION": "560.35.03",
        "run": "r1",
        "role": "trainer",
    }
    assert agent.stop() == 0
    assert agent.read("gpu")["xid"].max() == 79
    assert set(agent.read("devices")["gpu"]) == {"0", "1", "2"}
    assert agent.read("host")["memory_used_mib"].min() > 0
    notes = agent.read("notes")
    assert ("xid", "0") in set(notes.select("kind", "subject").iter_rows())


def test_what_is_absent_is_null_and_its_reason_is_noted_once(
    script: Script, home: Path, agents: list[RunningAgent]
) -> None:
    script.set("gpus 2", "unsupported nvmlDeviceGetTemperature", "field_unsupported 83")
    agents.append(agent := RunningAgent(home, script=script))
    until(lambda: agent.read("gpu").height >= 6)
    rows, notes = agent.read("gpu"), agent.read("notes").filter(kind="absent")
    assert rows.select("temperature_c", "energy_j").null_count().row(0) == (rows.height, rows.height)
    assert rows["power_w"].null_count() == 0
    assert sorted(notes.select("subject", "text").iter_rows()) == [
        (name, "GPU 0, 1: NVML says: Not Supported") for name in ("energy_j", "temperature_c", "tensor_active_pct")
    ]
    assert "DCGM_FI_DEV_GPU_TEMP" not in agent.page()


def test_seconds_add_up_to_the_time_that_passed(script: Script, home: Path, agents: list[RunningAgent]) -> None:
    script.set("gpus 2", "gpu 0 power_mw 400000")
    began = time.monotonic()
    agents.append(agent := RunningAgent(home, script=script))
    until(lambda: "appeared 1" in agent.said())
    seen = time.monotonic()
    time.sleep(3)
    least = time.monotonic() - seen
    agent.stop()
    most = time.monotonic() - began
    rows = agent.read("gpu").group_by("gpu").agg(pl.col("seconds", "energy_j").sum()).sort("gpu")
    assert all(least - 0.2 <= seconds <= most for seconds in rows["seconds"])
    assert len(rows) == 2
    assert rows["energy_j"][0] == pytest.approx(400 * rows["seconds"][0], rel=0.05)


def test_a_kill_loses_at_most_what_was_not_yet_written(script: Script, home: Path, agents: list[RunningAgent]) -> None:
    script.set("gpus 1")
    agents.append(first := RunningAgent(home, script=script))
    until(lambda: not first.read("gpu").is_empty())
    before = first.read("gpu")
    first.stop(signal.SIGKILL)
    agents.append(second := RunningAgent(home, script=script))
    until(lambda: second.read("gpu").filter(pl.col("at") > before["at"].max()).height >= 2)
    second.stop()
    rows = second.read("gpu")
    assert rows["at"].n_unique() == len(rows)
    assert set(before["at"]) <= set(rows["at"])


def test_of_two_agents_one_measures_and_the_other_takes_over(
    script: Script, home: Path, agents: list[RunningAgent]
) -> None:
    script.set("gpus 1")
    agents.append(first := RunningAgent(home, script=script))
    until(lambda: "appeared 0" in first.said())
    agents.append(second := RunningAgent(home, script=script))
    until(lambda: "another agent measures this node" in second.said())
    assert "DCGM_FI_DEV_GPU_UTIL" not in second.page()
    first.stop()
    until(lambda: "DCGM_FI_DEV_GPU_UTIL" in second.page())


def test_a_driver_that_hangs_holds_up_neither_the_rows_nor_the_end(
    script: Script, home: Path, agents: list[RunningAgent]
) -> None:
    script.set("gpus 2")
    agents.append(agent := RunningAgent(home, script=script))
    until(lambda: "appeared 1" in agent.said())
    script.set("gpus 2", "gpu 1 delay_ms 60000")
    until(lambda: ("gap", "1") in set(agent.read("notes").select("kind", "subject").iter_rows()))
    half = agent.read("gpu")["at"].max()
    until(lambda: agent.read("gpu").filter(pl.col("at") > half, gpu="0").height >= 2)
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < 40, "it does not wait for the driver"


def test_without_a_gpu_the_host_is_measured(home: Path, agents: list[RunningAgent]) -> None:
    agents.append(agent := RunningAgent(home))
    until(lambda: agent.read("host").height >= 2)
    assert set(agent.read("notes").select("kind", "subject").iter_rows()) == {("absent", "nvml")}
    page = parse(agent.page())
    assert samples(page, "clusterctl_host_memory_used_bytes")[0][1] > 0
    assert not any(name.startswith("DCGM") for name in page)


def test_files_of_metrics_are_passed_on_while_they_are_fresh(
    home: Path, agents: list[RunningAgent], tmp_path: Path
) -> None:
    cost = '# HELP clusterctl_run_cost_dollars_total C.\n# TYPE clusterctl_run_cost_dollars_total counter\nclusterctl_run_cost_dollars_total{run="r"} 1.5\n'
    (tmp_path / "a.prom").write_text(cost)
    (tmp_path / "old.prom").write_text(cost.replace('"r"', '"old"'))
    os.utime(tmp_path / "old.prom", (0, 0))
    (tmp_path / "bad.prom").write_text("{}\n")
    (tmp_path / "folder.prom").mkdir()
    os.mkfifo(tmp_path / "pipe.prom")
    agents.append(agent := RunningAgent(home, metrics_files=(str(tmp_path / "*.prom"),)))
    until(lambda: "clusterctl_run_cost_dollars_total" in agent.page())
    assert samples(parse(agent.page()), "clusterctl_run_cost_dollars_total") == [({"run": "r"}, 1.5)]
    until(lambda: "bad.prom: not in Prometheus' text format" in agent.said())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"listen": "0.0.0.0:0"}, "0.0.0.0 can be reached from outside this machine"),
        ({"listen": "nonsense"}, "no port"),
        ({"token_file": "/nowhere"}, "/nowhere: the token can't be read"),
        ({"store": "ftp://x"}, "no store is kept at ftp://"),
    ],
)
def test_what_cannot_work_is_said_at_once(
    home: Path, agents: list[RunningAgent], settings: dict[str, object], message: str
) -> None:
    agents.append(agent := RunningAgent(home, **settings))
    assert agent.process.wait(timeout=120) > 0
    assert message in agent.said()
    assert "Traceback" not in agent.said()


def test_beyond_loopback_a_token_is_asked_for(home: Path, agents: list[RunningAgent], tmp_path: Path) -> None:
    import urllib.error
    import urllib.request

    (tmp_path / "token").write_text("long-random-word\n")
    agents.append(agent := RunningAgent(home, listen="0.0.0.0:0", token_file=str(tmp_path / "token")))
    url = agent.url().replace("0.0.0.0", "127.0.0.1")
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(url, timeout=60)
    refused.value.close()
    asked = urllib.request.Request(url, headers={"Authorization": "Bearer long-random-word"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status == 200
    assert "long-random-word" not in agent.said()
