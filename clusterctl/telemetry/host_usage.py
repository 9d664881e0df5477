"""The node itself, by psutil: CPU, memory, disks, network.  All of it takes 0.2 ms a second."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

_WHOLE_DISK = re.compile(r"sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+")
"""Partitions and what is stacked on disks (md, dm) would count the same bytes again."""
COUNTERS = ("cpu_busy_seconds", "cpu_seconds", "disk_bytes", "network_bytes")
MIB = 2**20


class Host:
    """Reads counters and gauges; `row` is what they did since it was last called."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._before: tuple[float, dict[str, float]] | None = None
        self.values: dict[str, float] = {}
        """Of the last call: counters, memory_used_mib, disk_used_mib."""

    def row(self) -> dict[str, float] | None:
        """A row of the table `host` without time and node; None at first.  Raises OSError or RuntimeError where this
        system doesn't tell."""
        now, values = time.monotonic(), self._read()
        before, self._before, self.values = self._before, (now, values), values
        if before is None:
            return None
        seconds, then = now - before[0], before[1]
        risen = {name: max(values[name] - then[name], 0.0) for name in COUNTERS if name in values and name in then}
        row = {
            "seconds": seconds,
            "memory_used_mib": values["memory_used_mib"],
            "disk_used_mib": values["disk_used_mib"],
        }
        if risen.get("cpu_seconds"):
            row["cpu_pct"] = 100 * risen["cpu_busy_seconds"] / risen["cpu_seconds"]
        for name in ("disk", "network"):
            if f"{name}_bytes" in risen:
                row[f"{name}_kib_per_s"] = risen[f"{name}_bytes"] / 1024 / seconds
        return row

    def _read(self) -> dict[str, float]:
        cpu, memory = psutil.cpu_times(), psutil.virtual_memory()
        cpu_seconds = sum(cpu[:8])  # the ninth and tenth, of guests, are in the first two already
        values: dict[str, float] = {
            "cpu_busy_seconds": cpu_seconds - cpu.idle - cpu.iowait,
            "cpu_seconds": cpu_seconds,
            "memory_used_mib": (memory.total - memory.available) / MIB,
            "disk_used_mib": psutil.disk_usage(str(self._disk)).used / MIB,
        }
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        whole = [disk for name, disk in disks.items() if _WHOLE_DISK.fullmatch(name)]
        if whole:
            values["disk_bytes"] = sum(disk.read_bytes + disk.write_bytes for disk in whole)
        network = psutil.net_io_counters(pernic=True, nowrap=False)
        values["network_bytes"] = sum(one.bytes_recv + one.bytes_sent for name, one in network.items() if name != "lo")
        return values
