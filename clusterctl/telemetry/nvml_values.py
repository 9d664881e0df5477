"""A GPU, what was read of it, and which of NVML's calls, fields and counters give which value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ALL_LINKS = 0xFFFFFFFF
"""`scopeId` of a field that is wanted summed over all NVLinks."""
MIB = 2**20


@dataclass(slots=True, kw_only=True)
class Gpu:
    """A GPU, or a MIG instance of one."""

    name: str
    """NVML's index; `3:1` is MIG's GPU instance 1 of GPU 3."""
    uuid: str
    model: str
    driver: str
    pci_bus_id: str
    minor: int | None
    fb_total_mib: int | None
    power_limit_w: int | None
    mig_profile: str | None = None
    instance_id: int | None = None
    """MIG's GPU instance."""
    handle: Any
    parent: Any = None
    """Handle of the whole GPU, for a MIG instance."""
    instances: list[Gpu] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """What this GPU or driver doesn't offer, and why; not asked again."""
    gpm_sample: Any = None


@dataclass(slots=True, kw_only=True)
class GpuReading:
    """One GPU at one moment."""

    gpu: Gpu
    at: float
    """Of the monotonic clock."""
    values: dict[str, float]
    processes: list[tuple[int, int]]
    """pid and MiB of those that compute on it."""
    failed: dict[str, str]
    """What could not be read this time, and why."""


def pcie_rates(n: Any, handle: Any) -> tuple[float, ...]:
    """KiB/s over 20 ms; takes as long, so it is asked only where there is no counter."""
    return tuple(
        n.nvmlDeviceGetPcieThroughput(handle, way) for way in (n.NVML_PCIE_UTIL_TX_BYTES, n.NVML_PCIE_UTIL_RX_BYTES)
    )


def _utilisation(n: Any, handle: Any) -> tuple[float, ...]:
    rates = n.nvmlDeviceGetUtilizationRates(handle)
    return rates.gpu, rates.memory


def _memory(n: Any, handle: Any) -> tuple[float, ...]:
    try:
        memory = n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2)
        return memory.used / MIB, memory.free / MIB, memory.reserved / MIB
    except n.NVMLError_FunctionNotFound:  # before driver 510 `used` holds what is reserved
        memory = n.nvmlDeviceGetMemoryInfo(handle)
        return memory.used / MIB, memory.free / MIB


CALLS: tuple[tuple[tuple[str, ...], Callable[[Any, Any], tuple[float, ...]]], ...] = (
    (("gpu_util_pct", "memory_util_pct"), _utilisation),
    (("fb_used_mib", "fb_free_mib", "fb_reserved_mib"), _memory),
    (("sm_clock_mhz",), lambda n, h: (n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM),)),
    (("memory_clock_mhz",), lambda n, h: (n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM),)),
    (("power_w",), lambda n, h: (n.nvmlDeviceGetPowerUsage(h) / 1000,)),
    (("temperature_c",), lambda n, h: (n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU),)),
    (("encoder_util_pct",), lambda n, h: (n.nvmlDeviceGetEncoderUtilization(h)[0],)),
    (("decoder_util_pct",), lambda n, h: (n.nvmlDeviceGetDecoderUtilization(h)[0],)),
)  # fmt: skip
"""What a call gives, in order."""
FIELDS = {
    "memory_temperature_c": ("NVML_FI_DEV_MEMORY_TEMP", 0),
    "energy_mj": ("NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 0),
    "pcie_replays": ("NVML_FI_DEV_PCIE_REPLAY_COUNTER", 0),
    "pcie_tx_bytes": ("NVML_FI_DEV_PCIE_COUNT_TX_BYTES", 0),
    "pcie_rx_bytes": ("NVML_FI_DEV_PCIE_COUNT_RX_BYTES", 0),
    "nvlink_tx_kib": ("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX", ALL_LINKS),
    "nvlink_rx_kib": ("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX", ALL_LINKS),
    "ecc_corrected": ("NVML_FI_DEV_ECC_SBE_VOL_TOTAL", 0),
    "ecc_uncorrected": ("NVML_FI_DEV_ECC_DBE_VOL_TOTAL", 0),
    "remapped_correctable": ("NVML_FI_DEV_REMAPPED_COR", 0),
    "remapped_uncorrectable": ("NVML_FI_DEV_REMAPPED_UNC", 0),
    "remap_failure": ("NVML_FI_DEV_REMAPPED_FAILURE", 0),
}
"""NVML's field and its scope; one call asks for all.  Counters rise since the driver was loaded."""
GPM = {
    "engine_active_pct": "NVML_GPM_METRIC_GRAPHICS_UTIL",
    "tensor_active_pct": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "dram_active_pct": "NVML_GPM_METRIC_DRAM_BW_UTIL",
}
"""Performance counters between two samples; from Hopper on, and the only utilisation of MIG instances."""
VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Member of a field's value, by its type's number."""
