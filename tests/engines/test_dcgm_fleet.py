"""A fleet that only dcgm-exporter on Kubernetes measures, scraped every minute and later every 15 s, read back exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from prometheus import SERVERS, Prometheus

from clusterctl.costs.observed_machines import observed_prices
from clusterctl.costs.own_machine_prices import own_machine_prices
from clusterctl.store import open_source
from clusterctl.store.source import TelemetrySource
from planners.costs.machine_place import place_of
from planners.costs.observed import observed_parts

HOURS, SLOW, FAST = 6, 60, 15
START = datetime.fromtimestamp((time.time() // 3600 - HOURS) * 3600, tz=UTC)
CHANGED_AFTER = 4 * 3600
"""When the interval of the scrapes became FAST."""
GPUS = 5
FREE = 4
"""The GPU that no pod holds and that does nothing."""
STALL = (3000, 5400)
"""When GPU 0 did nothing: 40 minutes, which begin and end within buckets of ten minutes, an hour and two."""
PROFILING = ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE")


def history() -> str:
    """GPU 0 stalls once; GPU 1 does nothing in every other minute; 2 and 3 work all the time, 3 without a pod; 4 is free."""
    families: dict[str, list[str]] = {}
    second = 7
    while second < HOURS * 3600:
        at = int(START.timestamp()) + second
        node = 'node="node-1",job="kube-state-metrics",instance="10.0.0.2:8080"'
        pod = 'namespace="lab",pod="train-0",job="kube-state-metrics",instance="10.0.0.2:8080"'
        provider = 'provider_id="aws:///us-west-2b/i-0123456789abcdef0"'
        families.setdefault("kube_node_info", []).append(f"{{{node},{provider}}} 1 {at}")
        families.setdefault("kube_node_labels", []).append(
            f'{{{node},label_node_kubernetes_io_instance_type="p5.48xlarge"}} 1 {at}'
        )
        families.setdefault("kube_pod_labels", []).append(f'{{{pod},label_team="reasoning"}} 1 {at}')
        for gpu in range(GPUS):
            pod = 'exported_namespace="lab",exported_pod="train-0",exported_container="main",' if gpu < 3 else ""
            labels = (
                f'{pod}gpu="{gpu}",UUID="GPU-{gpu}",device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3",'
                'Hostname="node-1",job="dcgm-exporter",instance="10.0.0.1:9400",namespace="gpu-operator",'
                'pod="dcgm-exporter-x7",container="exporter",DCGM_FI_DRIVER_VERSION="550.54.15"'
            )
            still = gpu == FREE or (gpu == 0 and STALL[0] <= second < STALL[1]) or (gpu == 1 and second // 60 % 2)
            families.setdefault("DCGM_FI_DEV_GPU_UTIL", []).append(f"{{{labels}}} {0 if still else 97} {at}")
            families.setdefault("DCGM_FI_DEV_FB_USED", []).append(f"{{{labels}}} 70000 {at}")
            for name in PROFILING:
                families.setdefault(name, []).append(f"{{{labels}}} {0 if still else 0.4} {at}")
        second += SLOW if second < CHANGED_AFTER else FAST
    blocks = (
        f"# TYPE {name} gauge\n" + "".join(f"{name}{line}\n" for line in lines) for name, lines in families.items()
    )
    return "".join(blocks)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda of: of.__name__)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelemetrySource]:
    started: Prometheus = request.param(tmp_path_factory.mktemp("prometheus"), history=history())
    yield open_source(f"prometheus+{started.url}")
    started.stop()


@pytest.mark.parametrize("step", [10, 60, 600, 3600, 7200])
def test_idle_time_is_the_same_in_every_step(source: TelemetrySource, step: int) -> None:
    rows = source.read(
        "gpu",
        start=START,
        end=START + timedelta(hours=HOURS),
        step_seconds=step,
        columns=["node", "gpu", "run", "reason", "seconds"],
    )
    assert source.problems() == ()
    by_gpu = rows.group_by("gpu").agg(
        whole=pl.col("seconds").sum(), idle=pl.col("seconds").filter(pl.col("reason").is_not_null()).sum()
    )
    found = {gpu: (whole, idle) for gpu, whole, idle in by_gpu.iter_rows()}
    for whole, _ in found.values():
        assert whole == pytest.approx(HOURS * 3600, rel=0.02)  # every second is measured, at either interval
    assert found["0"][1] == pytest.approx(STALL[1] - STALL[0], rel=0.04)
    assert found["1"][1] == pytest.approx(HOURS * 1800, rel=0.04)
    assert found["2"][1] == found["3"][1] == 0
    assert found["4"][1] == pytest.approx(found["4"][0])
    idle = rows.filter(pl.col("reason").is_not_null())
    assert set(idle.filter(pl.col("gpu") == "4")["reason"]) == {"no_process"}, (
        "its exporter names pods, and none for it"
    )
    assert set(idle.filter(pl.col("gpu") != "4")["reason"]) == {"unknown"}


def test_labels_of_nodes_and_pods_are_those_of_kube_state_metrics(source: TelemetrySource) -> None:
    found = source.labels(["lab/train-0"], start=START, end=START + timedelta(hours=HOURS))
    assert source.problems() == ()
    assert found.pods == {"lab/train-0": {"team": "reasoning"}}
    place = place_of("node-1", found.nodes["node-1"])
    assert (place.cloud, place.region, place.instance_type) == ("aws", "us-west-2", "p5.48xlarge")


def test_the_fleet_is_priced_by_its_place_and_free_gpus_apart(source: TelemetrySource, tmp_path: Path) -> None:
    devices = source.read("devices", start=START, end=START + timedelta(hours=HOURS))
    gpus = devices.group_by("node").agg(model=pl.col("model").first(), gpus=pl.col("gpu").n_unique())
    labels = source.labels(["lab/train-0"], start=START, end=START + timedelta(hours=HOURS))
    prices = observed_prices(gpus, labels.nodes, own=own_machine_prices(tmp_path))
    (price,) = prices.rows(named=True)
    assert (price["model"], price["gpus"], price["cloud"]) == ("H100", GPUS, "aws")
    assert price["usd_per_gpu_hour"] is not None
    assert "p5.48xlarge" in price["source"]
    window = {"start": START, "end": START + timedelta(hours=HOURS), "step_seconds": 600}
    rows = source.read("gpu", columns=["node", "run", "role", "reason", "seconds"], **window)
    teams = pl.DataFrame({"run": list(labels.pods), "team": [pod["team"] for pod in labels.pods.values()]})
    parts = observed_parts(rows, prices, teams)
    assert parts["gpu_hours"].sum() == pytest.approx(GPUS * HOURS, rel=0.02)
    free = parts.filter(pl.col("reason") == "no_process")
    assert free["gpu_hours"].sum() == pytest.approx(HOURS, rel=0.04)
    assert float(free["usd"].sum()) == pytest.approx(HOURS * float(price["usd_per_gpu_hour"]), rel=0.04)
    assert set(parts.filter(pl.col("run") == "lab/train-0")["team"]) == {"reasoning"}


def test_the_finest_step_is_the_longest_interval_of_the_time(source: TelemetrySource) -> None:
    changed = START + timedelta(seconds=CHANGED_AFTER)
    assert source.finest_seconds(START, START + timedelta(hours=HOURS)) == SLOW
    assert source.finest_seconds(START, START + timedelta(hours=1)) == SLOW
    assert source.finest_seconds(changed + timedelta(minutes=20), START + timedelta(hours=HOURS)) == FAST


def test_series_that_differ_by_name_alone_are_no_error(source: TelemetrySource) -> None:
    absent = source.read("notes", start=START, end=START + timedelta(hours=HOURS))["subject"].to_list()
    assert source.problems() == ()
    assert "power_w" in absent
    assert not {"gpu_util_pct", "tensor_active_pct"} & set(absent)


def test_the_newest_measurement_is_known_to_the_second(source: TelemetrySource) -> None:
    last = START + timedelta(seconds=HOURS * 3600 - (HOURS * 3600 - 7) % FAST)
    until = START + timedelta(hours=HOURS)
    found = source.newest("gpu", until=until)
    assert found is not None
    assert timedelta(0) < until - found <= timedelta(seconds=FAST)
    assert abs(found - last) <= timedelta(seconds=FAST)
    assert source.newest("gpu", until=until, nodes=["node-1"]) == found
    assert source.newest("gpu", until=START - timedelta(hours=1)) is None
