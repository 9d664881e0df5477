"""The GPUs of this node over time: each is read in a thread of its own, so that a driver that hangs stops no other."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from clusterctl.telemetry.nvml import DriverGone, GpuLost, Nvml

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from clusterctl.telemetry.nvml_values import Gpu, GpuReading

SCAN_SECONDS = 10.0
"""Between looks for GPUs that came or went, and between attempts to open NVML."""
SLOW_SECONDS = 5.0
"""A read that takes longer is worth a note; a healthy one takes milliseconds."""
MAX_THREADS = 40
"""16 GPUs, the most that a node of the price book has, and room for reads that hang."""
EVENTS = "events"
RESTART, NO_GPU = ("restart", "driver", "NVML"), ("absent", "nvml", "no GPU seen by NVML")
"""Kind and subject of a note, and how its text begins."""


class GpuPoller:
    """Call `poll` once a tick; `note(kind, subject, text)` gets all that is no number."""

    def __init__(self, note: Callable[[str, str, str], None], only: Collection[str] = ()) -> None:
        """only: indices or UUIDs of GPUs; empty, or none of them there = all."""
        self.present: dict[str, Gpu] = {}
        """By uuid; whole GPUs, their MIG instances inside."""
        self.replaced = False
        """The driver is of another version than the library in this process."""
        self._note, self._only = note, frozenset(only)
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="nvml")
        self._reads: dict[str, tuple[Future[Any], float]] = {}
        self._slow: set[str] = set()
        self._silent: set[str] = set()
        self._scan: Future[Any] | None = None
        self._scan_at = 0.0
        self._down, self._lists_none = "", False
        """Why NVML is not open; whether the last look found no GPU."""
        try:
            self._nvml: Nvml | None = Nvml()
        except ImportError:
            self._nvml = None
            note("absent", "nvml", "nvidia-ml-py is not installed: pip install 'clusterctl[telemetry]'")

    def poll(self, wait_seconds: float) -> tuple[list[GpuReading], list[tuple[str, int]]]:
        """Readings that are done, of GPUs and MIG instances; and (uuid, number) of new Xid errors.  Never raises."""
        nvml, now = self._nvml, time.monotonic()
        if nvml is None:
            return [], []
        self._scan_when_due(nvml, now, wait_seconds)
        for uuid, gpu in self.present.items():
            if uuid not in self._reads:
                self._reads[uuid] = (self._pool.submit(_read, nvml, gpu), now)
        if self.present and EVENTS not in self._reads:
            self._reads[EVENTS] = (self._pool.submit(nvml.xids), now)
        wait([future for future, _ in self._reads.values()], wait_seconds)
        readings, xids = [], []
        for key, (future, since) in list(self._reads.items()):
            if not future.done():
                self._note_hang(key, now - since)
                continue
            del self._reads[key]
            got = self._result(key, future)
            if key == EVENTS:
                xids = got
            else:
                readings += got
        return readings, xids

    def _scan_when_due(self, nvml: Nvml, now: float, wait_seconds: float) -> None:
        """Look for GPUs that came or went, from time to time."""
        if self._scan is None and now >= self._scan_at:
            self._scan, self._scan_at = self._pool.submit(_scan, nvml, bool(self._down)), now + SCAN_SECONDS
            if not self.present:
                wait([self._scan], wait_seconds)
        if self._scan is not None and self._scan.done():
            self._scanned(self._scan)
            self._scan = None

    def _result(self, key: str, future: Future[Any]) -> list[Any]:
        gpu = self.present.get(key)
        try:
            result: list[Any] = future.result()
        except DriverGone as gone:
            self._closed(str(gone))
        except GpuLost as lost:
            if self.present.pop(key, None) and gpu:
                self._note("lost", gpu.name, f"{gpu.model} {gpu.uuid}: {lost}")
                self._silent.add(f"{gpu.name}: {lost}")
        except Exception as error:  # noqa: BLE001 - whatever a driver or its binding does, the agent lives on
            self._note("error", gpu.name if gpu else key, f"{type(error).__name__}: {error}")
        else:
            if key in self._slow:
                self._slow.discard(key)
                self._note("gap", gpu.name if gpu else key, "the driver answers again")
            return result if gpu or key == EVENTS else []
        return []

    def _note_hang(self, key: str, seconds: float) -> None:
        if seconds > SLOW_SECONDS and key not in self._slow:
            self._slow.add(key)
            subject = self.present[key].name if key in self.present else key
            self._note("gap", subject, f"the driver has not answered for {seconds:.0f} s; nothing is known meanwhile")

    def _closed(self, why: str) -> None:
        """NVML must be opened anew."""
        if not self._down:
            kind, subject, what = RESTART if self.present else NO_GPU
            self._note(kind, subject, f"{what}: {why}; looking again every {SCAN_SECONDS:.0f} s")
        self._down, self.present, self._silent = why, {}, set()

    def _scanned(self, scan: Future[Any]) -> None:
        """Compares what is there with what was."""
        try:
            found, silent = scan.result()
        except DriverGone as gone:
            self.replaced = gone.replaced
            self._closed(str(gone))
            return
        except Exception as error:  # noqa: BLE001 - whatever a driver or its binding does, the agent lives on
            self._closed(f"{type(error).__name__}: {error}")
            return
        self._down = ""
        for one in sorted(set(silent) - self._silent):
            self._note("lost", one.partition(":")[0], f"GPU {one}")
        self._silent = set(silent)
        if not found and not self._lists_none:
            kind, subject, what = NO_GPU
            self._note(kind, subject, f"{what}: it lists none; looking again every {SCAN_SECONDS:.0f} s")
        self._lists_none = not found
        now = {gpu.uuid: gpu for gpu in found if self._only & {gpu.name, gpu.uuid}} or {gpu.uuid: gpu for gpu in found}
        for uuid, gpu in self.present.items():
            if uuid not in now:
                self._note("lost", gpu.name, f"{gpu.model} {uuid} is no longer there")
        for uuid, gpu in now.items():
            before = self.present.get(uuid)
            if before is None:
                self._note("appeared", gpu.name, f"{gpu.model} {uuid}, driver {gpu.driver}")
            elif [one.uuid for one in before.instances] == [
                one.uuid for one in gpu.instances
            ] and before.name == gpu.name:
                now[uuid] = before  # with what it is known not to offer
        self.present = now


def _scan(nvml: Nvml, anew: bool) -> tuple[list[Gpu], list[str]]:
    if anew:
        nvml.close()
    return nvml.scan()


def _read(nvml: Nvml, gpu: Gpu) -> list[GpuReading]:
    return [nvml.read(one) for one in (gpu, *gpu.instances)]
