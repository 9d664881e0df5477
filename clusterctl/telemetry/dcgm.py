"""Readings as rows of the tables `gpu` and `devices`, and as samples under DCGM's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusterctl.telemetry.exposition import About, Families, add_sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusterctl.telemetry.nvml_values import Gpu, GpuReading

SAMPLES: dict[str, About] = {
    "gpu_util_pct": ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %)."),
    "memory_util_pct": ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %)."),
    "encoder_util_pct": ("DCGM_FI_DEV_ENC_UTIL", "gauge", "Encoder utilization (in %)."),
    "decoder_util_pct": ("DCGM_FI_DEV_DEC_UTIL", "gauge", "Decoder utilization (in %)."),
    "fb_used_mib": ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB)."),
    "fb_free_mib": ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB)."),
    "fb_reserved_mib": ("DCGM_FI_DEV_FB_RESERVED", "gauge", "Framebuffer memory reserved (in MiB)."),
    "sm_clock_mhz": ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz)."),
    "memory_clock_mhz": ("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz)."),
    "power_w": ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W)."),
    "energy_mj": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "untyped", "Total energy consumption since boot (in mJ)."),
    "temperature_c": ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C)."),
    "memory_temperature_c": ("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C)."),
    "pcie_tx_kib_per_s": ("DCGM_FI_PROF_PCIE_TX_BYTES", "gauge", "Bytes per second transmitted over PCIe."),
    "pcie_rx_kib_per_s": ("DCGM_FI_PROF_PCIE_RX_BYTES", "gauge", "Bytes per second received over PCIe."),
    "ecc_corrected": ("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "untyped", "Single-bit ECC errors since the driver load."),
    "ecc_uncorrected": ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "untyped", "Double-bit ECC errors since the driver load."),
    "remapped_correctable": (
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "untyped", "Number of remapped rows for correctable errors."),
    "remapped_uncorrectable": (
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "untyped", "Number of remapped rows for uncorrectable errors."),
    "remap_failure": ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed."),
    "engine_active_pct": ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active."),
    "tensor_active_pct": (
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", "Ratio of cycles the tensor pipe is active."),
    "dram_active_pct": (
        "DCGM_FI_PROF_DRAM_ACTIVE", "gauge", "Ratio of cycles the device memory interface is active."),
    "xid": ("DCGM_FI_DEV_XID_ERRORS", "gauge", "Value of the last XID error encountered."),
    "pcie_replays": ("clusterctl_gpu_pcie_replays_total", "counter", "PCIe retries since the driver was loaded."),
    "nvlink_kib_per_s": ("clusterctl_gpu_nvlink_bytes_per_second", "gauge", "NVLink data per second, both ways."),
}  # fmt: skip
"""Name, type and help of a value, as in dcgm-exporter's default-counters.csv where it has the quantity.  `untyped`: its
counters without _total, which `promtool` rejects as counters; queries see no difference."""
FACTORS = {
    "pcie_tx_kib_per_s": 1024.0,
    "pcie_rx_kib_per_s": 1024.0,
    "nvlink_kib_per_s": 1024.0,
    "engine_active_pct": 0.01,
    "tensor_active_pct": 0.01,
    "dram_active_pct": 0.01,
}
"""From our unit to the one of the sample."""
RATES = {
    "pcie_tx_kib_per_s": (("pcie_tx_bytes",), 1 / 1024),
    "pcie_rx_kib_per_s": (("pcie_rx_bytes",), 1 / 1024),
    "nvlink_kib_per_s": (("nvlink_tx_kib", "nvlink_rx_kib"), 1.0),
}
SOURCES = {
    "energy_j": "energy_mj",
    "pcie_tx_kib_per_s": "pcie_tx_bytes",
    "pcie_rx_kib_per_s": "pcie_rx_bytes",
    "nvlink_kib_per_s": "nvlink_tx_kib",
    "ecc_errors": "ecc_corrected",
}
"""Of a column that isn't a value itself: the value that it needs."""


def measured(reading: GpuReading, before: GpuReading) -> dict[str, float]:
    """Columns of the table `gpu` for the time between two readings of a GPU; what is unknown is left out.

    A counter that fell was reset: nothing is known of that interval.
    """
    now, then, seconds = reading.values, before.values, reading.at - before.at

    def risen(name: str) -> float | None:
        return now[name] - then[name] if name in now and name in then and now[name] >= then[name] else None

    columns = dict(now)
    if "gpu_util_pct" not in now and "engine_active_pct" in now:
        columns["gpu_util_pct"] = now["engine_active_pct"]  # the only utilisation of a MIG instance
    if (energy := risen("energy_mj")) is not None:
        columns["energy_j"] = energy / 1000
    for name, (counters, factor) in RATES.items():
        parts = [risen(counter) for counter in counters]
        if None not in parts:
            columns[name] = sum(part for part in parts if part is not None) * factor / seconds
    errors = [part for part in (risen("ecc_corrected"), risen("ecc_uncorrected")) if part is not None]
    if errors:
        columns["ecc_errors"] = sum(errors)
    return columns


def absent(gpu: Gpu, failed: Mapping[str, str], columns: Mapping[str, Any]) -> dict[str, str]:
    """Why each of these columns has no value."""
    reasons = {**gpu.absent, **failed}
    found = {column: reasons.get(SOURCES.get(column, column), "") for column in columns}
    return {column: reason for column, reason in found.items() if reason}


def device_row(gpu: Gpu) -> dict[str, Any]:
    """A row of the table `devices` without time and node."""
    return {
        "gpu": gpu.name,
        "uuid": gpu.uuid,
        "model": gpu.model,
        "driver": gpu.driver,
        "mig_profile": gpu.mig_profile,
        "fb_total_mib": gpu.fb_total_mib,
        "power_limit_w": gpu.power_limit_w,
    }


def labels(gpu: Gpu, node: str) -> dict[str, str]:
    """dcgm-exporter's labels.  Its `modelName` is `model` here, since `promtool` wants labels in snake case."""
    found = {
        "gpu": gpu.name.partition(":")[0],
        "UUID": gpu.uuid,
        "pci_bus_id": gpu.pci_bus_id,
        "device": "" if gpu.minor is None else f"nvidia{gpu.minor}",
        "model": gpu.model,
        "GPU_I_PROFILE": gpu.mig_profile or "",
        "GPU_I_ID": "" if gpu.instance_id is None else str(gpu.instance_id),
        "hostname": node,
        "DCGM_FI_DRIVER_VERSION": gpu.driver,
    }
    return {name: text for name, text in found.items() if text}


def expose(families: Families, values: Mapping[str, float], labels: Mapping[str, str]) -> None:
    """Add a GPU's values as samples with these labels."""
    for name, about in SAMPLES.items():
        if name in values:
            add_sample(families, about, labels, values[name] * FACTORS.get(name, 1.0))
