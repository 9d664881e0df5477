"""The node itself, from /proc: half of psutil's time, and nothing to install.  Linux only."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

PROC = Path("/proc")
SECTOR_BYTES = 512
"""Of /proc/diskstats, whatever the disk's own are (Documentation/admin-guide/iostats.rst)."""
_WHOLE_DISK = re.compile(r"sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+")
"""Partitions and what is stacked on disks (md, dm) would count the same bytes again."""
COUNTERS = ("cpu_busy_ticks", "cpu_all_ticks", "disk_bytes", "network_bytes")


class Host:
    """Reads counters and gauges; `row` is what they did since it was last called."""

    def __init__(self, disk: Path, proc: Path = PROC) -> None:
        self._disk, self._proc = disk, proc
        self._before: tuple[float, dict[str, float]] | None = None
        self.values: dict[str, float] = {}
        """Of the last call: counters, memory_used_mib, disk_used_mib."""

    def row(self) -> dict[str, float] | None:
        """A row of the table `host` without time and node; None at first.  Raises OSError where there is no /proc."""
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
        if risen.get("cpu_all_ticks"):
            row["cpu_pct"] = 100 * risen["cpu_busy_ticks"] / risen["cpu_all_ticks"]
        for name in ("disk", "network"):
            if f"{name}_bytes" in risen:
                row[f"{name}_kib_per_s"] = risen[f"{name}_bytes"] / 1024 / seconds
        return row

    def _read(self) -> dict[str, float]:
        with (self._proc / "stat").open("rb") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:9]]
        memory = dict(line.split(":", 1) for line in (self._proc / "meminfo").read_text("ascii").splitlines()[:3])
        kib = {name: int(value.split()[0]) for name, value in memory.items()}
        disk = os.statvfs(self._disk)
        values: dict[str, float] = {
            "cpu_busy_ticks": sum(ticks) - ticks[3] - ticks[4],  # idle and iowait
            "cpu_all_ticks": sum(ticks),
            "memory_used_mib": (kib["MemTotal"] - kib["MemAvailable"]) / 1024,
            "disk_used_mib": (disk.f_blocks - disk.f_bfree) * disk.f_frsize / 2**20,
        }
        disks = [line.split() for line in (self._proc / "diskstats").read_text("ascii").splitlines()]
        whole = [words for words in disks if _WHOLE_DISK.fullmatch(words[2])]
        if whole:
            values["disk_bytes"] = SECTOR_BYTES * sum(int(words[5]) + int(words[9]) for words in whole)
        network = [line.split() for line in (self._proc / "net" / "dev").read_text("ascii").splitlines()[2:]]
        values["network_bytes"] = sum(int(words[1]) + int(words[9]) for words in network if words[0] != "lo:")
        return values
