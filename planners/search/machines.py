"""What physics sees of a node: GPUs, their links, CPUs and memory.  Offers that look alike are computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planners.domain import GpuSpec
from planners.physics.columns import GpuColumns
from planners.physics.shape import gpu_columns

MACHINE_KEY = ("gpu", "num_gpus", "network_gbps", "memory_gib", "vcpus")
GBPS_BYTES = 1e9 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineKind:
    """A kind of node; several instance types and clouds may sell it."""

    gpu: GpuSpec
    gpus_per_node: int
    network_gbps: float | None
    memory_gib: float
    vcpus: float


def machines_of(offers: pl.DataFrame, gpus: Mapping[str, GpuSpec]) -> tuple[pl.DataFrame, list[MachineKind]]:
    """GPU offers with a column `machine` (row number in the list), and the distinct machines.

    Raises KeyError when the frame names a GPU that `gpus` lacks; filter first.
    """
    distinct = offers.select(MACHINE_KEY).unique(maintain_order=True).with_row_index("machine")
    joined = offers.join(distinct, on=MACHINE_KEY, how="left", nulls_equal=True, maintain_order="left")
    machines = [
        MachineKind(gpu=gpus[gpu], gpus_per_node=int(count), network_gbps=network, memory_gib=memory, vcpus=vcpus)
        for gpu, count, network, memory, vcpus in distinct.select(MACHINE_KEY).rows()
    ]
    return joined.with_columns(pl.col("machine").cast(pl.Int64)), machines


def machine_columns(machines: list[MachineKind], rows: NDArray[np.int64]) -> GpuColumns:
    """GPU columns of shape (n,) for rows that name machines.

    The network per GPU is the offer's (Gb/s over the GPUs of the node) where it is known, else the GPU's usual one.
    """
    return GpuColumns(**{name: values[rows] for name, values in _table(tuple(machines)).items()})


@lru_cache(maxsize=16)
def _table(machines: tuple[MachineKind, ...]) -> dict[str, NDArray[np.float64]]:
    """GPU columns with a row per machine.  A plan asks for the same machines dozens of times."""
    each = []
    for machine in machines:
        columns = gpu_columns(machine.gpu)
        if machine.network_gbps:
            per_gpu = machine.network_gbps * GBPS_BYTES / machine.gpus_per_node
            columns = dataclasses.replace(columns, scale_out_bytes_per_s=per_gpu)
        domain = max(float(machine.gpus_per_node), min(float(columns.scale_up_domain), 72.0))
        each.append(dataclasses.replace(columns, scale_up_domain=domain))
    return {
        field.name: np.array([float(getattr(columns, field.name)) for columns in each])
        for field in dataclasses.fields(GpuColumns)
    }
