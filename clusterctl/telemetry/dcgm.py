"""Readings as rows of the tables `gpu` and `devices`, and the labels of their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planners.telemetry.tables import DEVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusterctl.telemetry.nvml_values import Gpu, GpuReading

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
        parts = [part for counter in counters if (part := risen(counter)) is not None]
        if len(parts) == len(counters):
            columns[name] = sum(parts) * factor / seconds
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
    names = [name for name in DEVICES if name not in {"at", "node", "gpu"}]
    return {"gpu": gpu.name} | {name: getattr(gpu, name) for name in names}


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
