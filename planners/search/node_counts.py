"""How many nodes of a machine are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from planners.search.machines import MachineKind

GPU_COUNTS = (
    1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144,
    8192, 10240, 12288, 16384, 24576, 32768,
)  # fmt: skip
"""Totals that are tried; an exact number of nodes in the spec replaces them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRange:
    """How many nodes may be bought: exact, or up to a number of GPUs."""

    max_gpus: int
    num_gpus: int | None = None
    """Exactly."""
    min_nodes: int = 1
    max_nodes: int | None = None
    whole_pools: tuple[int, ...] = ()
    """Nodes of the user's own pools and reservations: each number is tried, since all of them are there."""
    quota_gpus: dict[str, int] = field(default_factory=dict)
    """By GPU name."""


def node_counts(machine: MachineKind, allowed: NodeRange) -> Sequence[int]:
    """Node counts to try for a machine, ascending."""
    limit = min(allowed.max_gpus, allowed.quota_gpus.get(machine.gpu.name, allowed.max_gpus))
    most = int(min(limit // machine.gpus_per_node, machine.max_nodes))
    if allowed.max_nodes is not None:
        most = min(most, allowed.max_nodes)
    if allowed.min_nodes == allowed.max_nodes:
        return [allowed.min_nodes] if allowed.min_nodes <= most else []
    if allowed.num_gpus is not None:
        nodes, rest = divmod(allowed.num_gpus, machine.gpus_per_node)
        return [nodes] if nodes and not rest and nodes <= most else []
    counts = {total // machine.gpus_per_node for total in GPU_COUNTS if total % machine.gpus_per_node == 0}
    counts.update(allowed.whole_pools)
    return sorted(
        {*(n for n in counts if allowed.min_nodes <= n <= most), *([most] if most >= allowed.min_nodes else [])}
    )
