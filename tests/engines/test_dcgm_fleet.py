"""A fleet that only dcgm-exporter on Kubernetes measures, scraped every minute and later every 15 s, read back exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from prometheus import SERVERS, Prometheus

from clusterctl.store import open_source
from clusterctl.store.source import TelemetrySource

HOURS, SLOW, FAST = 6, 60, 15
START = datetime.fromtimestamp((time.time() // 3600 - HOURS) * 3600, tz=UTC)
CHANGED_AFTER = 4 * 3600
"""When the interval of the scrapes became FAST."""
GPUS = 4
STALL = (3000, 5400)
"""When GPU 0 did nothing: 40 minutes, which begin and end within buckets of ten minutes, an hour and two."""
PROFILING = ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE")


def history() -> str:
    """GPU 0 stalls once; GPU 1 does nothing in every other minute; 2 and 3 work all the time, 3 without a pod."""
    families: dict[str, list[str]] = {}
    second = 7
    while second < HOURS * 3600:
        at = int(START.timestamp()) + second
        for gpu in range(GPUS):
            pod = 'exported_namespace="lab",exported_pod="train-0",exported_container="main",' if gpu < 3 else ""
            labels = (
                f'{pod}gpu="{gpu}",UUID="GPU-{gpu}",device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3",'
                'Hostname="node-1",job="dcgm-exporter",instance="10.0.0.1:9400",namespace="gpu-operator",'
                'pod="dcgm-exporter-x7",container="exporter",DCGM_FI_DRIVER_VERSION="550.54.15"'
            )
            still = (gpu == 0 and STALL[0] <= second < STALL[1]) or (gpu == 1 and second // 60 % 2)
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
