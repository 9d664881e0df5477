"""From what a pool does to what its GPUs, hosts and sandboxes would have reported: frames of planners/telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from planners.telemetry.tables import IdleReason, schema
from tools.simulated_day.timeline import FIRST_ARRIVAL_SHARE, served_per_second

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from tools.simulated_day.timeline import Day, Lane, Scenario

INTERVAL_SECONDS = 30.0
CLOCK_STEP_MHZ = 15
"""NVIDIA's clocks change in such steps."""
POWER_STEP_W = 5
"""Coarser than NVML's, so that the day is small."""
GPUS_PER_NODE = 8
MIN_SEGMENT_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a GPU of the H100 SXM class reports in a state; a 700 W part that idles near 110 W."""

    reason: IdleReason | None
    util_pct: float
    memory_pct: float
    power_w: float
    held: bool = True
    """A process holds the GPU."""
    link_kib_per_s: float = 0.0
    tensor_pct: float = 0.0


STATES: dict[str, State] = {
    "generate": State(reason=None, util_pct=91, memory_pct=62, power_w=520, tensor_pct=12, link_kib_per_s=9e6),
    "evaluate": State(reason=None, util_pct=78, memory_pct=55, power_w=470, tensor_pct=10, link_kib_per_s=7e6),
    "log-prob": State(reason=None, util_pct=96, memory_pct=44, power_w=610, tensor_pct=52, link_kib_per_s=3e7),
    "reference": State(reason=None, util_pct=96, memory_pct=44, power_w=610, tensor_pct=52, link_kib_per_s=3e7),
    "train": State(reason=None, util_pct=97, memory_pct=48, power_w=655, tensor_pct=46, link_kib_per_s=6e7),
    "wait_sandbox": State(reason=IdleReason.WAITING_SANDBOX, util_pct=1, memory_pct=0, power_w=132),
    "wait_rollout": State(reason=IdleReason.WAITING_ROLLOUT, util_pct=1, memory_pct=0, power_w=132),
    "sync": State(reason=IdleReason.WAITING_SYNC, util_pct=3, memory_pct=6, power_w=165, link_kib_per_s=4e7),
    "hang": State(reason=IdleReason.UNKNOWN, util_pct=0, memory_pct=0, power_w=140),
    "down": State(reason=IdleReason.NO_PROCESS, util_pct=0, memory_pct=0, power_w=112, held=False),
    "boot": State(reason=IdleReason.BOOTING, util_pct=0, memory_pct=0, power_w=112, held=False),
}
"""Generation is bound by memory, training by arithmetic: its utilisation, power and tensor activity are higher."""
_NAMES = tuple(STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal nodes that do the same at the same time."""

    nodes: tuple[str, ...]
    run: str
    role: str
    lane: Lane
    fb_used_mib: int


def gpu_frame(pool: Pool, start: datetime, *, hours: float, seed: int) -> pl.DataFrame:
    """Table `gpu` of a pool: a row per GPU, interval and state in it, so that seconds by reason are exact."""
    rng = np.random.default_rng(seed)
    at, seconds, code = _segments(pool.lane, hours * 3600.0)
    names = [(node, str(gpu)) for node in pool.nodes for gpu in range(GPUS_PER_NODE)]
    rows, gpus = len(at), len(names)

    def column(values: Sequence[float], spread: float, top: float) -> NDArray[np.float64]:
        means = np.asarray(values)[code][:, None]
        drawn = means * (1.0 + spread * rng.standard_normal((rows, gpus), dtype=np.float32))
        return np.asarray(np.clip(drawn, 0, top).ravel(), dtype=np.float64)

    states = list(STATES.values())
    power = (column([s.power_w for s in states], 0.03, 700) / POWER_STEP_W).round() * POWER_STEP_W
    clock = column([1830 if s.reason is None else 1980 for s in states], 0.02, 1980) / CLOCK_STEP_MHZ
    held = pl.Series([s.held for s in states])
    picked = pl.Series(np.repeat(code, gpus))
    frame = pl.DataFrame(
        {
            "at": pl.Series(np.repeat(at, gpus)),
            "node": [node for node, _ in names] * rows,
            "gpu": [gpu for _, gpu in names] * rows,
            "run": held.replace_strict([True, False], [pool.run, None]).gather(picked),
            "role": held.replace_strict([True, False], [pool.role, None]).gather(picked),
            "reason": pl.Series([s.reason for s in states], dtype=pl.String).gather(picked),
            "seconds": np.repeat(seconds, gpus),
            "gpu_util_pct": column([s.util_pct for s in states], 0.04, 100),
            "tensor_active_pct": column([s.tensor_pct for s in states], 0.05, 100),
            "memory_util_pct": column([s.memory_pct for s in states], 0.06, 100),
            "fb_used_mib": pl.Series([pool.fb_used_mib if s.held else 4 for s in states]).gather(picked),
            "sm_clock_mhz": clock.round() * CLOCK_STEP_MHZ,
            "memory_clock_mhz": np.full(rows * gpus, 2619),
            "power_w": power,
            "energy_j": power * np.repeat(seconds, gpus),
            "temperature_c": 28 + power / 17.0 + np.tile(rng.normal(0, 2, gpus), rows),
            "pcie_tx_kib_per_s": column([s.link_kib_per_s / 60 for s in states], 0.1, 5e7),
            "pcie_rx_kib_per_s": column([s.link_kib_per_s / 50 for s in states], 0.1, 5e7),
            "nvlink_kib_per_s": column([s.link_kib_per_s for s in states], 0.1, 4e8),
            "ecc_errors": np.zeros(rows * gpus),
            "xid": pl.Series([None] * (rows * gpus), dtype=pl.UInt16),
        }
    )
    moment = (pl.lit(start) + pl.duration(milliseconds=(pl.col("at") * 1000).cast(pl.Int64))).alias("at")
    links = pl.col("^.*_kib_per_s$").round_sig_figs(2)
    return frame.with_columns(moment, links).cast(schema("gpu"))


def _segments(lane: Lane, until: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """(end of the interval, seconds, index of the state) of each piece of the lane within one interval."""
    ends = np.asarray(lane.ends)
    grid = np.arange(0.0, until + INTERVAL_SECONDS, INTERVAL_SECONDS)
    edges = np.union1d(grid[grid <= until], ends[ends < until])
    begin, end = edges[:-1], edges[1:]
    keep = (end - begin >= MIN_SEGMENT_SECONDS) & (begin < ends[-1])
    begin, end = begin[keep], end[keep]
    index = np.searchsorted(ends, (begin + end) / 2)
    code = np.array([_NAMES.index(name) for name in lane.states])[index]
    return np.ceil(end / INTERVAL_SECONDS) * INTERVAL_SECONDS, end - begin, code


def sandbox_frame(
    scenario: Scenario, day: Day, start: datetime, *, nodes: Sequence[str], run: str, seed: int
) -> pl.DataFrame:
    """Table `sandbox`: samples of each step arrive while it generates, wait, run and end."""
    rng = np.random.default_rng(seed)
    buckets = int(scenario.hours * 3600.0 / INTERVAL_SECONDS)
    ends = (np.arange(buckets) + 1) * INTERVAL_SECONDS
    arrived, slow = np.zeros(buckets + 1), np.ones(buckets)
    for step in day.steps:
        first = step.start + step.phases["generate"] * FIRST_ARRIVAL_SHARE
        last = step.start + step.phases["generate"]
        share = np.clip((np.concatenate([[0.0], ends]) - first) / (last - first), 0.0, 1.0)
        arrived += share * scenario.samples_per_step
        slow[(ends > step.start) & (ends <= step.end)] = step.slow
    coming, queue, finished, queued = np.diff(arrived), 0.0, np.zeros(buckets), np.zeros(buckets)
    for i in range(buckets):
        room = served_per_second(scenario, slow[i]) * INTERVAL_SECONDS
        finished[i] = min(queue + coming[i], room)
        queue += coming[i] - finished[i]
        queued[i] = queue
    whole = np.diff(np.floor(np.cumsum(np.concatenate([[0.0], finished]))))
    mean = scenario.sandbox_mean_seconds * slow
    load = np.clip(finished * mean / INTERVAL_SECONDS, 0, scenario.sandbox_slots)
    parts = len(nodes)

    def drawn(share: NDArray[np.float64]) -> NDArray[np.int64]:
        return rng.binomial(np.asarray(whole, dtype=np.int64) // parts, np.clip(share, 0, 1))

    one = {
        "running": load / parts,
        "queued": queued / parts,
        "workers": np.full(buckets, scenario.sandbox_slots // parts),
        "finished": whole / parts,
        "time_limits": drawn(0.018 * slow),
        "memory_limits": drawn(np.full(buckets, 0.004)),
        "errors": drawn(0.002 * slow**1.5),
        "start_p50_ms": 46.0 * slow * rng.lognormal(0, 0.1, buckets),
        "start_p95_ms": 140.0 * slow**1.4 * rng.lognormal(0, 0.1, buckets),
        "request_p50_ms": mean * 720 * rng.lognormal(0, 0.06, buckets),
        "request_p95_ms": mean * 4400 * rng.lognormal(0, 0.08, buckets),
    }
    quiet = whole == 0
    frame = pl.DataFrame(one).with_columns(
        pl.when(pl.Series(quiet)).then(None).otherwise(pl.col(name)).alias(name) for name in one if name.endswith("_ms")
    )
    at = pl.Series("at", [start + timedelta(seconds=float(second)) for second in ends])
    frame = frame.with_columns(at, run=pl.lit(run), seconds=pl.lit(INTERVAL_SECONDS))
    frames = [frame.with_columns(node=pl.lit(node)) for node in nodes]
    return pl.concat(frames).select(schema("sandbox").names()).cast(schema("sandbox")).sort("at", "node")


def host_frame(gpus: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Table `host` of the nodes of a `gpu` frame: its processors are busy where its GPUs are."""
    rng = np.random.default_rng(seed)
    util = pl.col("gpu_util_pct").mean().cast(pl.Float64)
    nodes = gpus.group_by("at", "node").agg(util=util, held=pl.col("run").is_not_null().any()).sort("at", "node")
    rows, busy = nodes.height, nodes["util"].to_numpy() / 100.0
    wave = rng.lognormal(0, 0.1, rows)
    frame = nodes.select("at", "node").with_columns(
        seconds=pl.lit(INTERVAL_SECONDS),
        cpu_pct=pl.Series((4 + 14 * busy) * wave),
        memory_used_mib=pl.Series(np.where(nodes["held"].to_numpy(), 412_000, 9_000) * rng.normal(1, 0.01, rows)),
        disk_used_mib=pl.lit(182_000),
        disk_kib_per_s=pl.Series(900 * wave),
        network_kib_per_s=pl.Series((2_000 + 90_000 * busy) * wave),
    )
    return frame.cast(schema("host"))
