"""NVML asked for one GPU or MIG instance: values by name, and for each that is missing, why.

Every call here may block in the driver for as long as it likes: `clusterctl.telemetry.gpu_poller` runs them in threads.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from clusterctl.telemetry.nvml_values import CALLS, FIELDS, GPM, MIB, VALUE_MEMBERS, Gpu, GpuReading, pcie_rates

if TYPE_CHECKING:
    from collections.abc import Callable


GONE = "UNINITIALIZED DRIVER_NOT_LOADED LIBRARY_NOT_FOUND LIB_RM_VERSION_MISMATCH"
LOST = "GPU_IS_LOST RESET_REQUIRED"
NEVER = """
NOT_SUPPORTED FUNCTION_NOT_FOUND NO_PERMISSION ARGUMENT_VERSION_MISMATCH
DEPRECATED INVALID_ARGUMENT VGPU_ECC_NOT_SUPPORTED
"""
"""Errors of NVML that say: the driver is gone; this GPU is; it will never offer this value."""


class DriverGone(Exception):  # noqa: N818 - an event that is dealt with
    """The driver was unloaded, restarted or replaced, or isn't there; NVML must be opened anew."""

    replaced = False
    """By another version: this process has the old library, and only a new one can load the new."""


class GpuLost(Exception):  # noqa: N818 - an event that is dealt with
    """This GPU has fallen off the bus, or needs a reset."""


class Nvml:
    """NVML, opened.  Methods raise DriverGone and GpuLost; a value that can't be had is in `absent` or `failed`."""

    def __init__(self) -> None:
        """Raises ImportError without nvidia-ml-py."""
        import pynvml  # type: ignore[import-untyped]

        self.n: Any = pynvml
        self.driver = ""
        self._open = False
        self._events: Any = None
        self._watched: set[str] = set()
        self._gone, self._lost, self._never = (
            {getattr(pynvml, f"NVML_ERROR_{name}") for name in names.split()} for names in (GONE, LOST, NEVER)
        )

    def close(self) -> None:
        """So that `scan` opens it anew."""
        if self._open:
            self._open, self._events, self._watched = False, None, set()
            with contextlib.suppress(self.n.NVMLError):  # the driver that it was opened on may be gone
                self.n.nvmlShutdown()

    def scan(self) -> tuple[list[Gpu], list[str]]:
        """The GPUs that are there, with their MIG instances; and names of those that don't answer."""
        n = self.n
        try:
            if not self._open:
                n.nvmlInit()
                self._open = True
                self.driver = n.nvmlSystemGetDriverVersion()
            count = n.nvmlDeviceGetCount()
        except n.NVMLError as error:
            gone = DriverGone(str(error))
            gone.replaced = error.value == n.NVML_ERROR_LIB_RM_VERSION_MISMATCH
            raise gone from error
        found, silent = [], []
        for index in range(count):
            try:
                found.append(self._gpu(index))
            except GpuLost as lost:
                silent.append(f"{index}: {lost}")
        return found, silent

    def read(self, gpu: Gpu) -> GpuReading:
        """All values that the GPU has now."""
        n, values, failed = self.n, dict[str, float](), dict[str, str]()

        def ask(names: tuple[str, ...], call: Callable[[Any, Any], tuple[float, ...]]) -> None:
            if names[0] not in gpu.absent:
                answer = self._try(gpu, names, failed, lambda: call(n, gpu.handle))
                values.update(zip(names, answer or (), strict=False))

        for names, call in CALLS:
            ask(names, call)
        self._fields(gpu, values, failed)
        if "pcie_tx_bytes" in gpu.absent:
            ask(("pcie_tx_kib_per_s", "pcie_rx_kib_per_s"), pcie_rates)
        if "engine_active_pct" not in gpu.absent:
            self._try(gpu, tuple(GPM), failed, lambda: self._gpm(gpu, values))
        at = time.monotonic()
        return GpuReading(gpu=gpu, at=at, values=values, processes=self._processes(gpu, failed), failed=failed)

    def xids(self) -> list[tuple[str, int]]:
        """uuid and number of each Xid error since the last call.  Raises NVMLError where events aren't offered."""
        n, seen = self.n, []
        while self._events is not None:
            try:
                event = n.nvmlEventSetWait_v2(self._events, 0)
            except n.NVMLError_Timeout:
                break
            except n.NVMLError as error:
                self._unless_gone(error)
                raise
            seen.append((n.nvmlDeviceGetUUID(event.device), int(event.eventData)))
        return seen

    def _unless_gone(self, error: Any) -> None:
        """Raises DriverGone or GpuLost where the error of a call means that."""
        if error.value in self._gone:
            raise DriverGone(str(error)) from error
        if error.value in self._lost:
            raise GpuLost(str(error)) from error

    def _try(self, gpu: Gpu, names: tuple[str, ...], failed: dict[str, str], call: Callable[[], Any]) -> Any:
        """What the call returns; None where it fails, and why is noted."""
        try:
            return call()
        except self.n.NVMLError as error:
            self._unless_gone(error)
            where = gpu.absent if error.value in self._never else failed
            where.update(dict.fromkeys(names, self._why(error)))
            return None

    def _why(self, error: Any) -> str:
        if error.value == self.n.NVML_ERROR_FUNCTION_NOT_FOUND:
            return f"driver {self.driver} is too old"
        return f"NVML says: {error}"

    def _fields(self, gpu: Gpu, values: dict[str, float], failed: dict[str, str]) -> None:
        n = self.n
        names = [name for name in FIELDS if name not in gpu.absent]
        asked = [(getattr(n, FIELDS[name][0]), FIELDS[name][1]) for name in names]
        if not asked:
            return
        answers = self._try(gpu, tuple(names), failed, lambda: n.nvmlDeviceGetFieldValues(gpu.handle, asked))
        for name, one in zip(names, answers or (), strict=False):
            if one.nvmlReturn == n.NVML_SUCCESS:
                values[name] = getattr(one.value, VALUE_MEMBERS[one.valueType])
            else:
                self._try(gpu, (name,), failed, partial(n._nvmlCheckReturn, one.nvmlReturn))

    def _gpm(self, gpu: Gpu, values: dict[str, float]) -> None:
        """Counters since the last sample, which stays with the GPU."""
        n = self.n
        if gpu.gpm_sample is None and not n.nvmlGpmQueryDeviceSupport(gpu.parent or gpu.handle).isSupportedDevice:
            raise n.NVMLError(n.NVML_ERROR_NOT_SUPPORTED)
        now = n.nvmlGpmSampleAlloc()
        if gpu.parent is None:
            n.nvmlGpmSampleGet(gpu.handle, now)
        else:
            n.nvmlGpmMigSampleGet(gpu.parent, gpu.instance_id, now)
        before, gpu.gpm_sample = gpu.gpm_sample, now
        if before is None:
            return
        asked = n.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = n.NVML_GPM_METRICS_GET_VERSION, len(GPM)
        asked.sample1, asked.sample2 = before, now
        for position, metric in enumerate(GPM.values()):
            asked.metrics[position].metricId = getattr(n, metric)
        try:
            n.nvmlGpmMetricsGet(asked)
        finally:
            n.nvmlGpmSampleFree(before)
        for position, name in enumerate(GPM):
            if asked.metrics[position].nvmlReturn == n.NVML_SUCCESS:
                values[name] = asked.metrics[position].value

    def _processes(self, gpu: Gpu, failed: dict[str, str]) -> list[tuple[int, int]]:
        n = self.n
        if "processes" in gpu.absent:
            return []

        def ask() -> Any:
            try:
                return n.nvmlDeviceGetComputeRunningProcesses_v3(gpu.handle)
            except n.NVMLError_FunctionNotFound:
                return n.nvmlDeviceGetComputeRunningProcesses_v2(gpu.handle)

        return [(one.pid, (one.usedGpuMemory or 0) // MIB) for one in self._try(gpu, ("processes",), failed, ask) or ()]

    def _gpu(self, index: int) -> Gpu:
        n = self.n
        try:
            handle = n.nvmlDeviceGetHandleByIndex(index)
            gpu = self._described(str(index), handle)
            if self._optional(lambda: n.nvmlDeviceGetMigMode(handle)[0]):
                for position in range(n.nvmlDeviceGetMaxMigDeviceCount(handle)):
                    instance = self._optional(partial(n.nvmlDeviceGetMigDeviceHandleByIndex, handle, position))
                    if instance is not None:
                        gpu.instances.append(self._described(str(index), instance, gpu))
            self._watch(gpu)
        except n.NVMLError as error:
            self._unless_gone(error)
            raise GpuLost(str(error)) from error
        return gpu

    def _described(self, name: str, handle: Any, whole: Gpu | None = None) -> Gpu:
        n = self.n
        model = n.nvmlDeviceGetName(handle)
        limit = self._optional(lambda: n.nvmlDeviceGetEnforcedPowerLimit(handle))
        total = self._optional(lambda: n.nvmlDeviceGetMemoryInfo(handle).total)
        instance_id = n.nvmlDeviceGetGpuInstanceId(handle) if whole else None
        return Gpu(
            name=f"{name}:{instance_id}" if whole else name,
            handle=handle,
            driver=self.driver,
            uuid=n.nvmlDeviceGetUUID(handle),
            model=whole.model if whole else model,
            pci_bus_id=whole.pci_bus_id if whole else n.nvmlDeviceGetPciInfo(handle).busId,
            minor=whole.minor if whole else self._optional(lambda: n.nvmlDeviceGetMinorNumber(handle)),
            mig_profile=model.rpartition("MIG ")[2] if whole else None,
            instance_id=instance_id,
            parent=whole.handle if whole else None,
            fb_total_mib=None if total is None else total // MIB,
            power_limit_w=None if limit is None else limit // 1000,
        )

    def _optional(self, call: Callable[[], Any]) -> Any:
        """None where this GPU or driver doesn't offer it."""
        try:
            return call()
        except self.n.NVMLError as error:
            self._unless_gone(error)
            return None

    def _watch(self, gpu: Gpu) -> None:
        """Have Xid errors of this GPU reported."""
        n = self.n
        if gpu.uuid in self._watched:
            return
        try:
            if self._events is None:
                self._events = n.nvmlEventSetCreate()
            n.nvmlDeviceRegisterEvents(gpu.handle, n.nvmlEventTypeXidCriticalError, self._events)
            self._watched.add(gpu.uuid)
        except n.NVMLError as error:
            self._unless_gone(error)
            gpu.absent["xid"] = self._why(error)
