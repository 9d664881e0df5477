"""A real Prometheus, and a real VictoriaMetrics, read as a store: the numbers are those that exporters served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from prometheus import SERVERS, Prometheus

from clusterctl.store import open_source
from planners.telemetry.tables import schema

SCRAPE_SECONDS = 15
START = datetime.fromtimestamp((time.time() // 7200 - 3) * 7200, tz=UTC)
PHASE_SECONDS = 7
"""A target is scraped at a moment of its own, not at the full minute."""
HOURS = 2
AGENT = (
    'job="clusterctl",instance="10.0.0.1:9401",hostname="agent-1",gpu="0",UUID="GPU-a",model="NVIDIA H100 80GB HBM3"'
)
POD = 'job="dcgm",instance="10.0.0.2:9400",Hostname="dcgm-1",gpu="3",UUID="GPU-b",modelName="NVIDIA A100",pod="dcgm-exporter-x7",namespace="gpu-operator"'
MIG = 'job="dcgm",instance="10.0.0.3:9400",gpu="1",GPU_I_ID="7",GPU_I_PROFILE="1g.10gb",UUID="GPU-c",modelName="NVIDIA H100"'
HELD = 'exported_pod="train-0",exported_namespace="team \\"x\\"",'
BLANK = 9223372036854775794
"""What dcgm-exporter says for what DCGM does not know."""


def history() -> str:
    """Two hours.  Of the agent's GPU: the first half of each ten minutes in run r1, which then waits for sandboxes half
    of the time.  Of dcgm-exporter's: held by a pod in the first hour, free and idle in the second."""
    families: dict[str, list[str]] = {}

    def add(name: str, labels: str, value: float, at: int) -> None:
        families.setdefault(name, []).append(f"{name}{{{labels}}} {value} {at}")

    idle = 0.0
    for number in range(HOURS * 3600 // SCRAPE_SECONDS):
        second = number * SCRAPE_SECONDS
        at = int(START.timestamp()) + second + PHASE_SECONDS
        in_run = second % 600 < 300
        labels = AGENT + (',run="r1",role="trainer"' if in_run else "")
        util = 90 if in_run and second % 60 < 30 else 0
        add("DCGM_FI_DEV_GPU_UTIL", labels, util, at)
        add("DCGM_FI_DEV_FB_USED", labels, 40_000, at)
        add("DCGM_FI_DEV_FB_FREE", labels, 41_000, at)
        add("DCGM_FI_DEV_POWER_USAGE", labels, 400, at)
        add("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", labels, 1e9 + second * 400_000, at)  # 400 W
        add("DCGM_FI_DEV_XID_ERRORS", AGENT, 0 if second < 3700 else 79, at)
        if in_run:
            idle += SCRAPE_SECONDS / 2 if second % 600 else 0
            add("clusterctl_gpu_idle_seconds_total", labels + ',reason="waiting_sandbox"', idle, at)
        else:
            add("clusterctl_gpu_idle_seconds_total", AGENT + ',reason="no_process"', 1000 + second, at)
        add(
            "clusterctl_host_memory_used_bytes",
            'job="clusterctl",instance="10.0.0.1:9401",hostname="agent-1"',
            2**34,
            at,
        )
        add(
            "clusterctl_host_network_bytes_total",
            'job="clusterctl",instance="10.0.0.1:9401",hostname="agent-1"',
            second * 2**20,
            at,
        )
        held = HELD if second < 3600 else ""
        add("DCGM_FI_DEV_GPU_UTIL", held + POD, 60 if held else 0, at)
        add("DCGM_FI_DEV_FB_USED", held + POD, 1000, at)
        add("DCGM_FI_DEV_POWER_USAGE", held + POD, BLANK, at)
        add("DCGM_FI_PROF_PCIE_TX_BYTES", held + POD, 2**30, at)
        add("DCGM_FI_DEV_FB_USED", MIG, 9000, at)
        add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", MIG, 0.5, at)
    return "".join(
        f"# TYPE {name.removesuffix('_total')} unknown\n" + "\n".join(lines) + "\n"
        for name, lines in families.items()
        if not name.endswith("_total")
    ) + "".join(
        f"# TYPE {name.removesuffix('_total')} counter\n" + "\n".join(lines) + "\n"
        for name, lines in families.items()
        if name.endswith("_total")
    )


@pytest.fixture(scope="module", params=SERVERS, ids=lambda of: of.__name__)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    started = request.param(tmp_path_factory.mktemp("prometheus"), history=history())
    yield started
    started.stop()


Read = Callable[..., pl.DataFrame]


@pytest.fixture
def read(server: Prometheus) -> Iterator[Read]:
    source = open_source(f"prometheus+{server.url}")

    def read(table: str = "gpu", *, hours: float = HOURS, **options) -> pl.DataFrame:
        return source.read(table, start=START, end=START + timedelta(hours=hours), **options)

    yield read
    assert source.problems() == ()


def test_all_columns_have_the_types_of_the_table(read: Read) -> None:
    for table in ("gpu", "host", "sandbox", "devices", "notes"):
        assert read(table).schema == schema(table)
        assert read(table, step_seconds=600).schema == schema(table)


def test_every_second_is_somebodys(read: Read) -> None:
    by_node = read(step_seconds=3600, columns=["node", "seconds"])
    assert by_node["seconds"].to_list() == pytest.approx([3600] * 6, rel=0.01)
    held = read(step_seconds=7200, columns=["node", "run", "role", "seconds"])
    found = {(node, run, role): seconds for _, node, run, role, seconds in held.iter_rows()}
    assert found == {
        ("agent-1", "r1", "trainer"): pytest.approx(3600, rel=0.03),
        ("agent-1", None, None): pytest.approx(3600, rel=0.03),
        ("dcgm-1", 'team "x"/train-0', None): pytest.approx(3600, rel=0.01),
        ("dcgm-1", None, None): pytest.approx(3600, rel=0.01),
        ("10.0.0.3", None, None): pytest.approx(7200, rel=0.01),
    }


def test_idle_seconds_have_reasons(read: Read) -> None:
    idle = (
        read(step_seconds=300, columns=["node", "run", "reason", "seconds"])
        .group_by("node", "run", "reason")
        .agg(pl.col("seconds").sum())
    )
    found = {key: seconds for *key, seconds in idle.iter_rows() for key in [tuple(key)]}
    assert found[("agent-1", "r1", "waiting_sandbox")] == pytest.approx(1800, rel=0.06)
    assert found[("agent-1", "r1", None)] == pytest.approx(1800, rel=0.06)
    assert found[("agent-1", None, "no_process")] == pytest.approx(3600, rel=0.06)
    assert found[("dcgm-1", 'team "x"/train-0', None)] == pytest.approx(3600, rel=0.02)
    assert found[("dcgm-1", None, "no_process")] == pytest.approx(
        3600, rel=0.02
    )  # its exporter names pods, and none for it
    assert sum(found.values()) == pytest.approx(3 * 7200, rel=0.01)


def test_values_are_those_of_the_exporters(read: Read) -> None:
    rows = read(step_seconds=600)
    of = {node: rows.filter(pl.col("node") == node) for node in ("agent-1", "dcgm-1", "10.0.0.3")}
    assert set(of["agent-1"].filter(pl.col("run") == "r1")["gpu_util_pct"]) <= {45, 47, 43}
    assert of["agent-1"]["energy_j"].sum() == pytest.approx(400 * 7200, rel=0.05)
    assert set(of["agent-1"]["fb_used_mib"]) == {40_000}
    assert of["dcgm-1"]["power_w"].null_count() == len(of["dcgm-1"])  # DCGM's blank is absent, not 9.2e18 W
    assert set(of["dcgm-1"]["pcie_tx_kib_per_s"]) == {2**20}
    assert set(of["10.0.0.3"]["gpu"]) == {"1:7"}
    assert set(of["10.0.0.3"]["gpu_util_pct"]) == {50}
    host = read("host", step_seconds=600)
    assert set(host["memory_used_mib"]) == {2**14}
    assert host["network_kib_per_s"].to_list() == pytest.approx([1024] * 12, rel=0.02)


def test_an_xid_counts_when_it_comes(read: Read) -> None:
    found = read(step_seconds=600, columns=["node", "xid"]).filter(pl.col("xid").is_not_null())
    assert [row[1:] for row in found.iter_rows()] == [("agent-1", 79)]
    assert found["at"][0] == START + timedelta(seconds=4200)


def test_nodes_and_runs_are_chosen_by_the_server_too(read: Read) -> None:
    every = read(step_seconds=600).sort("at", "node", "run", "reason", nulls_last=True)
    for nodes in (["agent-1"], ["dcgm-1", "10.0.0.3"], ["10.0.0.3"], ["nobody"]):
        some = read(step_seconds=600, nodes=nodes).sort("at", "node", "run", "reason", nulls_last=True)
        assert some.equals(every.filter(pl.col("node").is_in(nodes)))
    for run in ("r1", 'team "x"/train-0', "r.*"):
        assert len(read(step_seconds=600, run=run)) == len(every.filter(pl.col("run") == run))


def test_devices_and_what_is_absent_are_said(read: Read) -> None:
    devices = {row["node"]: row for row in read("devices").iter_rows(named=True)}
    assert devices["agent-1"]["model"] == "NVIDIA H100 80GB HBM3"
    assert devices["agent-1"]["fb_total_mib"] == 81_000
    assert (devices["10.0.0.3"]["gpu"], devices["10.0.0.3"]["mig_profile"]) == ("1:7", "1g.10gb")
    assert devices["10.0.0.3"]["fb_total_mib"] is None  # its free part is not told
    absent = dict(read("notes").select("subject", "text").iter_rows())
    assert absent["temperature_c"].endswith("has no series DCGM_FI_DEV_GPU_TEMP")
    assert "gpu_util_pct" not in absent


def test_the_span_is_known_to_the_hour(server: Prometheus) -> None:
    span = open_source(f"prometheus+{server.url}").span()
    assert span is not None
    assert abs((span[0] - START).total_seconds()) <= 3600
    assert abs((span[1] - START - timedelta(hours=HOURS)).total_seconds()) <= 3600


@pytest.mark.parametrize("serve", SERVERS)
def test_a_scraped_exporter_is_read_back(serve: type[Prometheus], tmp_path: Path) -> None:
    began = time.monotonic()

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            labels = 'gpu="0",UUID="GPU-d",pci_bus_id="00000000:00:1E.0",device="nvidia0",modelName="Tesla T4",Hostname="node-1"'
            held = labels + ',container="main",namespace="research",pod="worker-1"'
            energy = (time.monotonic() - began) * 70_000
            text = (
                "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
                f"DCGM_FI_DEV_GPU_UTIL{{{held}}} 77\n"
                "# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).\n# TYPE DCGM_FI_DEV_FB_USED gauge\n"
                f"DCGM_FI_DEV_FB_USED{{{held}}} 1234\n"
                "# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).\n"
                "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n"
                f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{held}}} {energy:.0f}\n"
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    server = serve(tmp_path, targets={"dcgm": [f"127.0.0.1:{exporter.server_port}"]})
    try:
        source = open_source(f"prometheus+{server.url}")
        while time.monotonic() - began < 60:
            now = datetime.now(tz=UTC)
            rows = source.read("gpu", start=now - timedelta(seconds=20), end=now, step_seconds=5)
            whole = rows.filter(pl.col("seconds") == 5).sort("at")
            if len(whole) >= 3:
                break
            time.sleep(1)
        assert source.problems() == ()
        assert rows["seconds"].sum() <= 25
        assert set(whole.select("node", "gpu", "run", "gpu_util_pct", "fb_used_mib").rows()) == {
            ("node-1", "0", "research/worker-1", 77, 1234)
        }
        assert whole["energy_j"].to_list()[-1] == pytest.approx(350, rel=0.25)
    finally:
        server.stop()
        exporter.shutdown()
        exporter.server_close()
