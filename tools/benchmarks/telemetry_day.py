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
# By phase of a step: share of its time; utilisation and tensor activity in %, NVLink and PCIe in MiB/s; of rollout
# workers, then of trainers.
SHARES = (0.55, 0.12, 0.28, 0.05)
UTIL = np.array([[94, 12, 3, 20], [2, 4, 97, 30]])
TENSOR = np.array([[12, 2, 0, 0], [0, 0, 46, 0]])
NVLINK = np.array([[9000, 100, 0, 40_000], [0, 0, 120_000, 40_000]])
PCIE = np.array([[300, 60, 2, 2000], [2, 4, 900, 2000]])
REASONS = np.array(
    [
        ["", "waiting_sandbox", "waiting_rollout", "waiting_sync"],
        ["waiting_rollout", "waiting_sandbox", "", "waiting_sync"],
    ]
)
IDLE_WATTS, FULL_WATTS, ROOM_CELSIUS = 75.0, 690.0, 28.0
NODES_PER_SERVER = 5
"""GPU nodes that share a machine with a sandbox server."""
SLOTS = 256


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

    def hour(self, start: datetime) -> dict[str, pl.DataFrame]:
        """The tables of the hour that starts at `start`, as agents write them: by node, then by time."""
        gpu = self._gpus(start)
        hosts = gpu.group_by("at", "node").agg(busy=pl.col("gpu_util_pct").mean() / 100).sort("node", "at")
        sandbox = self._sandboxes(start)
        devices = gpu.filter(pl.col("at") == pl.col("at").min()).select(
            "at",
            "node",
            "gpu",
            uuid="GPU-5f3a02c1-8c1f-22ab-1f0c-" + pl.col("node").str.tail(5) + pl.col("gpu"),
            model=pl.lit("NVIDIA H100 80GB HBM3"),
            driver=pl.lit("560.35.03"),
            mig_profile=pl.lit(None, pl.String),
            fb_total_mib=pl.lit(81_559),
            power_limit_w=pl.lit(700),
        )
        notes = devices.filter(pl.col("gpu") == "0").select(
            "at", "node", kind=pl.lit("absent"), subject=pl.lit("xid"), text=pl.lit("GPU 0: NVML says: Not Supported")
        )
        frames = {"host": self._hosts(hosts, sandbox), "sandbox": sandbox, "devices": devices, "notes": notes}
        return {"gpu": gpu} | {table: frame.cast(dict(schema(table))) for table, frame in frames.items()}

    def _sandboxes(self, start: datetime) -> pl.DataFrame:
        """A server per NODES_PER_SERVER nodes, which judges while its run's rollouts are in their second phase."""
        rng, count = self.rng, ROWS_PER_HOUR
        first = np.arange(0, self.nodes, NODES_PER_SERVER) * GPUS_PER_NODE
        seconds = start.timestamp() + np.arange(1, count + 1) * INTERVAL_SECONDS
        turn = ((seconds[None, :] + self.offset[first, None]) / self.step_seconds[first, None]) % 1
        judges = (turn > SHARES[0] / 2) & (turn < sum(SHARES[:2])) & ~self.idle[first, None]
        running = np.clip(judges * 0.8 * SLOTS * rng.lognormal(0, 0.1, turn.shape), 0, SLOTS)
        finished, slow = running * INTERVAL_SECONDS / 2, rng.lognormal(0, 0.1, (4, *turn.shape))
        values = {
            "seconds": np.full(turn.shape, INTERVAL_SECONDS),
            "running": running,
            "queued": running * (slow[0] > 1.1),
            "workers": np.full(turn.shape, SLOTS),
            "finished": finished,
            "time_limits": rng.poisson(finished * 0.02),
            "memory_limits": rng.poisson(finished * 0.004),
            "errors": rng.poisson(finished * 0.001),
            "start_p50_ms": 46 * slow[0],
            "start_p95_ms": 140 * slow[1],
            "request_p50_ms": 900 * slow[2],
            "request_p95_ms": 4400 * slow[3],
        }
        quiet = pl.Series((finished == 0).ravel())
        frame = pl.DataFrame({name: np.round(value).ravel() for name, value in values.items()}).with_columns(
            pl.when(quiet).then(None).otherwise(pl.col(name)).alias(name) for name in values if name.endswith("_ms")
        )
        return frame.with_columns(
            at=_times(seconds, len(first)),
            node=_names("sandbox-", np.repeat(first // GPUS_PER_NODE, count)),
            run=pl.when(pl.Series(np.repeat(self.idle[first], count)))
            .then(None)
            .otherwise("run-" + pl.Series(np.repeat(self.run[first], count)).cast(pl.String)),
        ).select(schema("sandbox").names())

    def _hosts(self, nodes: pl.DataFrame, servers: pl.DataFrame) -> pl.DataFrame:
        """GPU nodes and sandbox machines: their processors are busy where their GPUs or sandboxes are."""
        busy = pl.col("running") / SLOTS
        whole = pl.concat([nodes, servers.select("at", "node", busy=busy)])
        noise = [pl.Series(self.rng.lognormal(0, 0.1, whole.height)) for _ in range(3)]
        return whole.select(
            "at",
            "node",
            seconds=pl.lit(INTERVAL_SECONDS),
            cpu_pct=(4 + 14 * pl.col("busy")) * noise[0],
            memory_used_mib=(412_000 + 900 * (noise[1] - 1)).round(),
            disk_used_mib=pl.lit(182_000),
            disk_kib_per_s=(900 * noise[1]).round(),
            network_kib_per_s=((2000 + 90_000 * pl.col("busy")) * noise[2]).round(),
        )

    def _gpus(self, start: datetime) -> pl.DataFrame:
        gpus, count, rng = self.nodes * GPUS_PER_NODE, ROWS_PER_HOUR, self.rng
        seconds = start.timestamp() + np.arange(1, count + 1) * INTERVAL_SECONDS
        turn = ((seconds[None, :] + self.offset[:, None]) / self.step_seconds[:, None]) % 1
        phase = np.searchsorted(np.cumsum(SHARES)[:-1], turn, side="right")
        role = np.broadcast_to(self.role[:, None], phase.shape)
        idle = np.broadcast_to(self.idle[:, None], phase.shape)
        mean = np.where(idle, 0, UTIL[role, phase])
        util = np.clip(np.round(mean + rng.normal(0, 2.5, mean.shape) * (mean > 0)), 0, 100).astype(np.uint8)
        tensor = np.where(idle, 0, TENSOR[role, phase]) * rng.normal(1, 0.06, mean.shape)
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
            "tensor_active_pct": np.clip(tensor, 0, 100),
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
        node = np.repeat(np.arange(self.nodes), GPUS_PER_NODE * count)
        types = schema("gpu")
        frame = pl.DataFrame({name: np.round(value).ravel().astype(np.uint32) for name, value in values.items()})
        reason = np.where(idle, "no_process", REASONS[role, phase]).ravel()
        frame = frame.with_columns(
            _times(seconds, gpus),
            _names("node-", node),
            pl.Series("gpu", np.tile(np.repeat(np.arange(GPUS_PER_NODE), count), self.nodes)),
            pl.Series("r", np.repeat(self.run, count)),
            pl.Series("t", np.repeat(self.role, count)),
            pl.Series("reason", reason),
            pl.Series("idle", idle.ravel()),
        )
        return frame.select(
            "at",
            "node",
            pl.col("gpu").cast(pl.String),
            pl.when(~pl.col("idle")).then("run-" + pl.col("r").cast(pl.String)).alias("run"),
            pl.when(pl.col("idle"))
            .then(None)
            .when(pl.col("t") == 1)
            .then(pl.lit("trainer"))
            .otherwise(pl.lit("rollout"))
            .alias("role"),
            pl.when(pl.col("reason") != "").then(pl.col("reason")).alias("reason"),
            pl.lit(float(INTERVAL_SECONDS)).alias("seconds"),
            *(pl.col(name).cast(types[name]) for name in values),
        )


def _times(seconds: np.ndarray, repeats: int) -> pl.Series:
    at = np.round(seconds * 1000).astype("datetime64[ms]")
    return pl.Series("at", np.tile(at, repeats)).dt.replace_time_zone("UTC")


def _names(prefix: str, numbers: np.ndarray) -> pl.Series:
    return (prefix + pl.Series("node", numbers).cast(pl.String).str.zfill(5)).alias("node")


def spread(frames: dict[str, pl.DataFrame], start: datetime, minutes: int) -> dict[str, pl.DataFrame]:
    """The rows of some minutes."""
    wanted = (pl.col("at") > start) & (pl.col("at") <= start + timedelta(minutes=minutes))
    return {table: frame.filter(wanted) for table, frame in frames.items()}
