"""The agent under a real Prometheus, and a real VictoriaMetrics: its page is what `promtool` wants, it is scraped, directly or by a collector beside it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import yaml
from prometheus import SERVERS, Prometheus, VictoriaMetrics

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "telemetry"))

from running_agent import RunningAgent, working
from standin import Script

from clusterctl.store import open_source

DASHBOARD_12239 = (
    "DCGM_FI_DEV_GPU_TEMP{%s}",
    "avg(DCGM_FI_DEV_GPU_TEMP{%s})",
    "DCGM_FI_DEV_POWER_USAGE{%s}",
    "sum(DCGM_FI_DEV_POWER_USAGE{%s})",
    "DCGM_FI_DEV_SM_CLOCK{%s} * 1000000",
    "DCGM_FI_DEV_GPU_UTIL{%s}",
    "DCGM_FI_DEV_FB_USED{%s}",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{%s}",
)
"""The queries of its eight panels, from dcgm-exporter's grafana/dcgm-exporter-dashboard.json."""


@pytest.fixture(scope="module", params=SERVERS, ids=lambda of: of.__name__)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningAgent, Prometheus]]:
    """Eight GPUs, one of them held and idle; a Prometheus that scrapes their agent; a collector sends it what another agent shows."""
    folder = tmp_path_factory.mktemp("site")
    script, home = Script(folder / "nvml.script"), folder / "h"
    with working("r1", "trainer", home, says="sandbox") as trainer:
        busy = [f"gpu {i} util {80 + i}" for i in range(1, 8)]
        script.set("gpus 8", "gpm 1", *busy, f"gpu 0 pid {trainer} 4000", "gpu 3 xid 79", "gpu 3 ecc 2")
        agent = RunningAgent(home, script=script)
        prometheus = request.param(folder / "prometheus", targets={"clusterctl": [agent.url().split("/")[2]]})
        remote = RunningAgent(folder / "p", script=script, node="n2")
        collector = collecting(folder, request.param, remote.url().split("/")[2], f"{prometheus.url}/api/v1/write")
        try:
            yield agent, prometheus
        finally:
            collector.kill()
            collector.wait()
            prometheus.stop()
            for one in (agent, remote):
                one.stop()


def collecting(folder: Path, server: type[Prometheus], agent: str, write_url: str) -> subprocess.Popen[bytes]:
    """A collector that runs with the configuration of docs/telemetry.md: that server's own."""
    page = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(global:.*?)```", page, re.DOTALL)
    config = yaml.safe_load(text.replace("127.0.0.1:9400", agent).replace("15s", "1s"))
    del config["remote_write"][0]["authorization"]
    config["remote_write"][0]["url"] = write_url
    file, data = folder / "collector.yml", folder / "collected"
    command = ["prometheus", "--enable-feature=agent", f"--config.file={file}", f"--storage.agent.path={data}"]
    command.append("--web.listen-address=127.0.0.1:0")
    if server is VictoriaMetrics:
        del config["remote_write"]
        command = ["vmagent", f"-promscrape.config={file}", f"-remoteWrite.url={write_url}"]
        command += [f"-remoteWrite.tmpDataPath={data}", "-httpListenAddr=127.0.0.1:0"]
    file.write_text(yaml.safe_dump(config), "utf-8")
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ask(prometheus: Prometheus, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": query}, trust_env=False).json()
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def answered(prometheus: Prometheus, query: str, series: int) -> list[dict[str, Any]]:
    """Waits until so many series answer."""
    deadline = time.monotonic() + 60
    while len(found := ask(prometheus, query)) != series:
        assert time.monotonic() < deadline, f"{query}: {found}"
        time.sleep(0.2)
    return found


def test_promtool_has_nothing_to_say(site: tuple[RunningAgent, Prometheus]) -> None:
    agent, prometheus = site
    answered(prometheus, 'clusterctl_gpu_idle_seconds_total{reason="waiting_sandbox",hostname="n1"}', 1)
    page = agent.page()
    assert "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" in page
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("query", DASHBOARD_12239)
def test_the_panels_of_dashboard_12239_have_data(site: tuple[RunningAgent, Prometheus], query: str) -> None:
    instance = site[0].url().split("/")[2]
    chosen = f'instance=~"{instance}", gpu=~"0|1|2|3|4|5|6|7"'
    answered(site[1], query % chosen, 1 if "(" in query else 8)
    assert answered(site[1], "DCGM_FI_DEV_GPU_UTIL{gpu='5',hostname='n1'}", 1)[0]["value"][1] == "85"


def test_what_is_scraped_says_who_waits_for_what(site: tuple[RunningAgent, Prometheus]) -> None:
    (idle,) = answered(site[1], 'rate(clusterctl_gpu_idle_seconds_total{run="r1",hostname="n1"}[10s]) > 0.5', 1)
    labels = idle["metric"]
    assert (labels["gpu"], labels["role"], labels["reason"]) == ("0", "trainer", "waiting_sandbox")


def test_what_a_collector_sends_arrives_whole(site: tuple[RunningAgent, Prometheus]) -> None:
    sent = answered(site[1], 'DCGM_FI_DEV_GPU_UTIL{hostname="n2",job="clusterctl"}', 8)
    assert sorted(int(one["value"][1]) for one in sent) == [0, *range(81, 88)]
    answered(site[1], 'rate(clusterctl_host_cpu_seconds_total{hostname="n2"}[20s]) > 0', 1)


def test_what_was_scraped_is_read_as_the_store_itself_is(site: tuple[RunningAgent, Prometheus]) -> None:
    now = datetime.now(tz=UTC)
    window = {"start": now - timedelta(minutes=5), "end": now + timedelta(minutes=1)}
    answered(site[1], "count_over_time(DCGM_FI_DEV_FB_USED{gpu='0',hostname='n1'}[30s]) > 5", 1)
    source = open_source(f"prometheus+{site[1].url}")
    rows, devices = source.read("gpu", step_seconds=60, nodes=["n1"], **window), source.read("devices", **window)
    assert source.problems() == ()
    own = site[0].read("devices").filter(gpu="0").row(0, named=True)
    assert devices.filter(node="n1", gpu="0").row(0, named=True) == own | {
        "at": devices["at"][0],
        "power_limit_w": None,
    }
    keys = ("gpu", "run", "role", "reason")
    assert ("0", "r1", "trainer", "waiting_sandbox") in set(rows.select(keys).iter_rows())
    assert set(rows.filter(pl.col("gpu") == "5").select(keys).iter_rows()) == {("5", None, None, None)}
