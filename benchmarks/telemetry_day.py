"""Telemetry of a fleet for one day, hour by hour: seeded, and correlated as real telemetry is.

Runs take whole nodes; each has trainers and rollout workers that take turns: rollouts generate, sandboxes judge,
trainers train, weights are synchronised.  Power follows utilisation, temperature follows power, energy is the integral
of power, links are busy when the phase needs them; memory and clocks change little.  Each counter carries noise in its
last digits, because that is what a compressor meets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from planners.telemetry.tables import schema

GPUS_PER_NODE = 8
INTERVAL_SECONDS = 10
ROWS_PER_HOUR = 3600 // INTERVAL_SECONDS
RUNS = 24
PHASES = ("generate", "judge", "train", "sync")
# By phase of a step: share of its time; utilisation %, NVLink and PCIe MiB/s; of rollout workers, then of trainers.
SHARES = (0.55, 0.12, 0.28, 0.05)
UTIL = np.array([[94, 12, 3, 20], [2, 4, 97, 30]])
NVLINK = np.array([[9000, 100, 0, 40_000], [0, 0, 120_000, 40_000]])
PCIE = np.array([[300, 60, 2, 2000], [2, 4, 900, 2000]])
REASONS = np.array([["", "waiting_sandbox", "waiting_rollout", "waiting_sync"],
                    ["waiting_rollout", "waiting_sandbox", "", "waiting_sync"]])  # fmt: skip
IDLE_WATTS, FULL_WATTS, ROOM_CELSIUS = 75.0, 690.0, 28.0


@dataclass(kw_only=True)
class Fleet:
    """Draws a day; the state that carries over from hour to hour lives here."""

    nodes: int
    seed: int = 1
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        gpus = self.nodes * GPUS_PER_NODE
        run_of_node = np.sort(self.rng.integers(0, RUNS + 2, self.nodes))  # the last two are nobody's
        self.run = np.repeat(run_of_node, GPUS_PER_NODE)
        self.idle = self.run >= RUNS
        self.role = np.repeat(self.rng.random(self.nodes) < 0.35, GPUS_PER_NODE).astype(int)  # 1: trainer
        self.step_seconds = self.rng.uniform(240, 1500, RUNS + 2)[self.run]
        self.offset = self.rng.uniform(0, 1500, RUNS + 2)[self.run]
        self.watts, self.celsius = np.full(gpus, IDLE_WATTS), np.full(gpus, ROOM_CELSIUS + 6)
        self.memory = np.where(self.idle, 620, self.rng.integers(61_000, 79_000, gpus))

    def hour(self, start: datetime) -> pl.DataFrame:
        """The rows of the hour that starts at `start`, as agents write them: by node, then by time."""
        gpus, count, rng = self.nodes * GPUS_PER_NODE, ROWS_PER_HOUR, self.rng
        seconds = start.timestamp() + np.arange(1, count + 1) * INTERVAL_SECONDS
        turn = ((seconds[None, :] + self.offset[:, None]) / self.step_seconds[:, None]) % 1
        phase = np.searchsorted(np.cumsum(SHARES)[:-1], turn, side="right")
        role = np.broadcast_to(self.role[:, None], phase.shape)
        idle = np.broadcast_to(self.idle[:, None], phase.shape)
        mean = np.where(idle, 0, UTIL[role, phase])
        util = np.clip(np.round(mean + rng.normal(0, 2.5, mean.shape) * (mean > 0)), 0, 100).astype(np.uint8)
        watts, celsius = np.empty(mean.shape), np.empty(mean.shape)
        noise = rng.normal(0, 9, mean.shape)
        for i in range(count):
            target = IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * util[:, i] / 100
            self.watts = 0.3 * self.watts + 0.7 * target + noise[:, i] * (0.15 + util[:, i] / 100)
            self.celsius = 0.9 * self.celsius + 0.1 * (ROOM_CELSIUS + self.watts * 0.058)
            watts[:, i], celsius[:, i] = self.watts, self.celsius
        step_of_memory = (rng.random(mean.shape) < 0.02) * rng.integers(-300, 301, mean.shape)
        memory = self.memory[:, None] + np.where(idle, 0, np.cumsum(step_of_memory, axis=1) % 1500)
        links = rng.lognormal(0, 0.12, (2, *mean.shape))
        pcie = np.where(idle, 0, PCIE[role, phase] * 1024) * links[0]
        nvlink = np.where(idle, 0, NVLINK[role, phase] * 1024) * links[1]
        busy = util > 30
        values = {
            "gpu_util_pct": util,
            "memory_util_pct": np.clip(util * 0.55 + rng.normal(0, 1.5, mean.shape) * busy, 0, 100),
            "fb_used_mib": memory,
            "sm_clock_mhz": np.where(busy, 1980 - 15 * rng.integers(0, 9, mean.shape) * (util > 90), 345),
            "memory_clock_mhz": np.full(mean.shape, 2619),
            "power_w": np.clip(watts, 0, 720),
            "energy_j": np.clip(watts, 0, 720) * INTERVAL_SECONDS + rng.normal(0, 12, mean.shape),
            "temperature_c": celsius,
            "pcie_tx_kib_per_s": pcie,
            "pcie_rx_kib_per_s": pcie * rng.lognormal(0, 0.1, mean.shape),
            "nvlink_kib_per_s": nvlink,
            "ecc_errors": (rng.random(mean.shape) < 1e-6),
        }
        at = np.round(seconds * 1000).astype("datetime64[ms]")
        node = np.repeat(np.arange(self.nodes), GPUS_PER_NODE * count)
        types = schema("gpu")
        frame = pl.DataFrame({name: np.round(value).ravel().astype(np.uint32) for name, value in values.items()})
        reason = np.where(idle, "no_process", REASONS[role, phase]).ravel()
        frame = frame.with_columns(
            pl.Series("at", np.tile(at, gpus)).dt.replace_time_zone("UTC"),
            pl.Series("n", node), pl.Series("gpu", np.tile(np.repeat(np.arange(GPUS_PER_NODE), count), self.nodes)),
            pl.Series("r", np.repeat(self.run, count)), pl.Series("t", np.repeat(self.role, count)),
            pl.Series("reason", reason), pl.Series("idle", idle.ravel()),
        )  # fmt: skip
        return frame.select(
            "at",
            ("node-" + pl.col("n").cast(pl.String).str.zfill(5)).alias("node"),
            pl.col("gpu").cast(pl.String),
            pl.when(~pl.col("idle")).then("run-" + pl.col("r").cast(pl.String)).alias("run"),
            pl.when(pl.col("idle")).then(None).when(pl.col("t") == 1).then(pl.lit("trainer"))
            .otherwise(pl.lit("rollout")).alias("role"),
            pl.when(pl.col("reason") != "").then(pl.col("reason")).alias("reason"),
            pl.lit(float(INTERVAL_SECONDS)).alias("seconds"),
            *(pl.col(name).cast(types[name]) for name in values),
        )  # fmt: skip


def spread(frame: pl.DataFrame, start: datetime, minutes: int) -> pl.DataFrame:
    """The rows of some minutes."""
    return frame.filter(pl.col("at") > start, pl.col("at") <= start + timedelta(minutes=minutes))
