"""Measures a node: each GPU and the host once a tick; rows for the store, samples for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.paths import user_data_dir
from clusterctl.telemetry import dcgm
from clusterctl.telemetry.exposition import Families, expose
from clusterctl.telemetry.gpu_poller import SLOW_SECONDS, GpuPoller
from clusterctl.telemetry.gpu_processes import GpuProcesses
from clusterctl.telemetry.host_usage import Host
from clusterctl.telemetry.phase_socket import Phases, socket_path
from planners.telemetry.idle import Held, why_idle
from planners.telemetry.tables import GPU, IdleReason, RollUp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from clusterctl.telemetry.gpu_processes import GpuProcess
    from clusterctl.telemetry.nvml_values import GpuReading

MAX_TICKS = 3
"""A reading stands for the time since the one before, at most for so many ticks: the rest is a gap, not a guess."""
ANNOUNCE_SECONDS = 3600.0
"""Descriptions of GPUs are written again so often, so that every window of the store has them."""
MEASURED = tuple(name for name, column in GPU.items() if column.roll_up is not RollUp.KEY and name != "seconds")


class Collector:
    """Call `tick` once a second.  A lock guards what the threads of the Prometheus page read."""

    def __init__(
        self,
        *,
        node: str,
        run: str | None,
        add: Callable[..., None],
        note: Callable[[str, str, str], None],
        gpus: Collection[str] = (),
    ) -> None:
        """add(table, **columns) takes a row; run: the run that has the node to itself, or None; gpus: some alone."""
        self.gpus = GpuPoller(note, gpus)
        self._node, self._run, self._add, self._note = node, run, add, note
        self._processes, self._host = GpuProcesses(), Host(Path("/"))
        self._phases, path = Phases(self._processes), socket_path(user_data_dir())
        try:
            self._phases.listen(path)
        except OSError as error:
            note("error", "phases", f"{path}: {error.strerror}: nobody can say its phase")
        self._lock = threading.Lock()
        self._last: dict[str, tuple[GpuReading, dict[str, float], dict[str, str]]] = {}
        self._used: set[str] = set()
        self._xid: dict[str, int] = {}
        self._idle: dict[tuple[tuple[str, str], ...], tuple[float, float]] = {}
        """Seconds by labels, and when they last rose; labels that did not rise for an hour are dropped."""
        self._announced_rows: set[tuple[Any, ...]] = set()
        self._began = self._announced = time.monotonic()

    def tick(self, interval_seconds: float) -> None:
        """Measure.  Takes as long as the GPUs do, at most the interval; never raises."""
        readings, xids = self.gpus.poll(interval_seconds * 0.8)
        with self._lock:
            for uuid, number in xids:
                gpu = self.gpus.present.get(uuid)
                self._xid[uuid] = number
                self._note("xid", gpu.name if gpu else uuid, f"Xid {number} on {uuid}")
            for reading in readings:
                self._gpu(reading, interval_seconds * MAX_TICKS, new_xids=dict(xids))
            try:
                row = self._host.row()
            except (OSError, ValueError, LookupError, RuntimeError) as error:
                self._note_once("absent", "host", f"it can't be measured: {error}")
            else:
                if row is not None:
                    self._add("host", **row)

    def announce(self) -> None:
        """Write what GPUs are, and which values they lack, when it is new and once an hour."""
        with self._lock:
            if time.monotonic() - self._announced > ANNOUNCE_SECONDS:
                self._announced_rows.clear()
                self._announced = now = time.monotonic()
                self._idle = {key: kept for key, kept in self._idle.items() if kept[1] > now - ANNOUNCE_SECONDS}
            lacking: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
            for reading, _, _ in self._last_readings():
                gpu = reading.gpu
                row = dcgm.device_row(gpu)
                if (known := ("device", *row.values())) not in self._announced_rows:
                    self._announced_rows.add(known)
                    self._add("devices", **row)
                if not gpu.instances:
                    for column, reason in dcgm.absent(gpu, reading.failed, dict.fromkeys(MEASURED)).items():
                        lacking[column, reason].append(gpu.name)
            for (column, reason), names in lacking.items():
                self._note_once("absent", column, f"GPU {', '.join(names)}: {reason}")

    def expose(self, families: Families) -> None:
        """Add this node's samples."""
        with self._lock:
            for _, columns, labels in self._last_readings():
                expose(families, columns, labels)
            for key, (seconds, _) in self._idle.items():
                expose(families, {"idle_seconds": seconds}, dict(key))
            expose(families, self._host.values, {"hostname": self._node})

    def _last_readings(self) -> list[tuple[GpuReading, dict[str, float], dict[str, str]]]:
        """The last reading of each GPU that is there and answers."""
        there = {one.uuid for gpu in self.gpus.present.values() for one in (gpu, *gpu.instances)}
        oldest = time.monotonic() - SLOW_SECONDS
        return [last for uuid, last in self._last.items() if uuid in there and last[0].at > oldest]

    def _note_once(self, *note: str) -> None:
        if note not in self._announced_rows:
            self._announced_rows.add(note)
            self._note(*note)

    def _gpu(self, reading: GpuReading, most_seconds: float, *, new_xids: dict[str, int]) -> None:
        """A row for the time since the reading before.  A GPU in MIG mode has rows for its instances only."""
        gpu = reading.gpu
        before = self._last.get(gpu.uuid)
        columns = dcgm.measured(reading, before[0]) if before else dict(reading.values)
        if "xid" not in gpu.absent and gpu.parent is None:
            columns["xid"] = self._xid.get(gpu.uuid, 0)
        process = self._processes.owner(reading.processes)
        labels = dcgm.labels(gpu, self._node)
        if process is not None:
            owner = (("run", process.run), ("role", process.role), ("pod", process.pod))
            labels |= {name: text for name, text in owner if text}
            self._used.add(gpu.uuid)
            self._note_once("holder", gpu.name, process.described())
        self._last[gpu.uuid] = (reading, columns, labels)
        if before is None or gpu.instances:
            return
        seconds = min(reading.at - before[0].at, most_seconds)
        reason = self._reason(reading, process, columns.get("gpu_util_pct"))
        if reason is not None:
            key = tuple((labels | {"reason": reason.value}).items())
            self._idle[key] = (self._idle.get(key, (0.0, 0.0))[0] + seconds, reading.at)
        row = {name: columns[name] for name in MEASURED if name in columns and name != "xid"}
        if gpu.uuid in new_xids:
            row["xid"] = new_xids[gpu.uuid]
        self._add(
            "gpu",
            gpu=gpu.name,
            run=process.run if process else None,
            role=process.role if process else None,
            reason=reason.value if reason else None,
            seconds=seconds,
            **row,
        )

    def _reason(self, reading: GpuReading, process: GpuProcess | None, gpu_util_pct: float | None) -> IdleReason | None:
        if process is not None:
            age = process.age_seconds()
            phase, run_phases = None, dict[str, str]()
            if process.run is not None:
                since = time.clock_gettime(time.CLOCK_BOOTTIME) - age
                phase, run_phases = self._phases.of(process.run, process.role, since)
            return why_idle(gpu_util_pct, Held(role=process.role, age_seconds=age, phase=phase, run_phases=run_phases))
        gpu = reading.gpu
        unseen = reading.processes or "processes" in gpu.absent or "processes" in reading.failed
        if unseen:  # somebody may hold it, in a place that we can't look into
            held = Held(role=None, age_seconds=float("inf"), phase=None, run_phases={})
            return why_idle(gpu_util_pct, held)
        expected = None if self._run is None or gpu.uuid in self._used else time.monotonic() - self._began
        return why_idle(gpu_util_pct, None, expected_seconds=expected)
