"""What physics sees of a node: GPUs, their links, CPUs and memory.  Offers that look alike are computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planners.domain import GpuSpec
from planners.physics.columns import GpuColumns
from planners.physics.constants import Constants
from planners.physics.shape import gpu_columns
from planners.workload.layouts import Layouts, TimingContext

MACHINE_KEY = ("gpu", "num_gpus", "network_gbps", "memory_gib", "vcpus")
MAX_NODES = "max_nodes"
"""Column of offers: nodes that exist, are reserved or in quota; infinite in the clouds."""
ABOUT_AS_MUCH = 1.25
"""Price per GPU of a whole node, over that of a single-GPU machine, up to which models are spread over nodes only:
single machines lack NVLink and have a share of the network.  Assumption."""
GBPS_BYTES = 1e9 / 8
UNSTATED_GIB = 1e6
"""Memory of a machine of which nobody states it: nothing is refused for what is not known."""
MOST_GPUS_PER_NODE = 16
"""A larger scale-up domain is a rack (GB200 NVL72), whose links join nodes; else they end at the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineKind:
    """A kind of node; several instance types and clouds may sell it."""

    gpu: GpuSpec
    gpus_per_node: int
    network_gbps: float | None
    memory_gib: float
    """UNSTATED_GIB where nobody states it."""
    vcpus: float | None
    max_nodes: float = np.inf
    """That exist, are reserved or in quota, of the offer that has most."""
    shards: bool = True
    """Whether a model may be spread over several of these: no where a node with more of the GPU costs about as much."""

    @property
    def scale_up_domain(self) -> int:
        """GPUs that fast links join: of the node, or of the rack."""
        rack = self.gpu.scale_up_domain
        return max(self.gpus_per_node, rack) if rack > MOST_GPUS_PER_NODE else self.gpus_per_node


def machines_of(offers: pl.DataFrame, gpus: Mapping[str, GpuSpec]) -> tuple[pl.DataFrame, list[MachineKind]]:
    """GPU offers (with a column MAX_NODES) with a column `machine` (row number in the list), and the distinct machines.

    Raises KeyError when the frame names a GPU that `gpus` lacks; filter first.
    """
    per_gpu = (pl.col("usd_per_hour") / pl.col("num_gpus")).min().alias("usd")
    most = pl.col(MAX_NODES).max()
    distinct = offers.group_by(MACHINE_KEY, maintain_order=True).agg(per_gpu, most).with_row_index("machine")
    nodes = distinct.filter(pl.col("num_gpus") > 1).group_by("gpu").agg(pl.col("usd").min())
    node_usd = dict(nodes.drop_nulls().rows())
    joined = offers.join(
        distinct.drop("usd", MAX_NODES), on=MACHINE_KEY, how="left", nulls_equal=True, maintain_order="left"
    )
    machines = [
        MachineKind(
            gpu=gpus[gpu],
            gpus_per_node=int(count),
            network_gbps=network,
            memory_gib=UNSTATED_GIB if memory is None else memory,
            vcpus=vcpus,
            max_nodes=max_nodes,
            shards=count > 1 or usd is None or node_usd.get(gpu, np.inf) > ABOUT_AS_MUCH * usd,
        )
        for gpu, count, network, memory, vcpus, usd, max_nodes in distinct.select(*MACHINE_KEY, "usd", MAX_NODES).rows()
    ]
    return joined.with_columns(pl.col("machine").cast(pl.Int64)), machines


def machine_columns(machines: list[MachineKind], rows: NDArray[np.int64]) -> GpuColumns:
    """GPU columns of shape (n,) for rows that name machines.

    The network per GPU is the offer's (Gb/s over the GPUs of the node) where it is known, else the GPU's usual one.
    """
    return GpuColumns(**{name: values[rows] for name, values in _table(tuple(machines)).items()})


def timing_context(
    machines: Sequence[MachineKind], layouts: Layouts, constants: Constants, *, year: float, grid_points: int
) -> TimingContext:
    """The physics' surroundings of some layouts.  A stage without GPUs gets a stand-in that nothing reads."""
    if len(machines) and (layouts.machine >= 0).all():
        gpu = machine_columns(list(machines), layouts.machine)
        per_node = np.array([float(machine.gpus_per_node) for machine in machines])[layouts.machine]
    else:
        gpu, per_node = machine_columns([], layouts.machine[:0]), np.ones(len(layouts))
    return TimingContext(
        constants=constants,
        gpu=gpu,
        layouts=layouts,
        gpus_per_node=per_node,
        year=year,
        grid_points=grid_points,
        gpu_names=tuple(machine.gpu.name for machine in machines),
    )


@lru_cache(maxsize=16)
def _table(machines: tuple[MachineKind, ...]) -> dict[str, NDArray[np.float64]]:
    """GPU columns with a row per machine.  A plan asks for the same machines dozens of times."""
    each = []
    for machine in machines:
        columns = gpu_columns(machine.gpu)
        if machine.network_gbps:
            per_gpu = machine.network_gbps * GBPS_BYTES / machine.gpus_per_node
            columns = dataclasses.replace(columns, scale_out_bytes_per_s=per_gpu)
        each.append(dataclasses.replace(columns, scale_up_domain=float(machine.scale_up_domain)))
    return {
        field.name: np.array([float(getattr(columns, field.name)) for columns in each])
        for field in dataclasses.fields(GpuColumns)
    }
