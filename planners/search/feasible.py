"""Which layouts fit the memory of GPUs and hosts.  What does not is counted by rule, with what fills it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planners.physics.memory import Need, host_need_bytes, rollout_need, train_need
from planners.search.machines import MachineKind
from planners.search.rejections import Rejections
from planners.units import GIB
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.stage_work import StageWork
from planners.workload.work_columns import generation_workload, micro_batch, training_workload

HOST_SHARE = 0.9
"""Of a node's memory that offloaded states may fill.  Assumption."""


def train_memory(work: StageWork, at: TimingContext) -> Need:
    """Bytes per training GPU of a stage that trains."""
    training = work.training
    assert training is not None
    tokens = np.maximum(micro_batch(training, at) * training.seq_len, training.seq_len)
    offload = float(training.options.optimizer_offload)
    return train_need(training_workload(work, at), micro_batch_tokens=tokens, offload=offload)


def rollout_memory(work: StageWork, number: int, at: TimingContext) -> Need:
    """Bytes per rollout GPU of the generation with this number."""
    generation = work.generations[number]
    main = number == 0 and work.training is not None
    return rollout_need(training_workload(work, at) if main else generation_workload(work, generation, at))


def fitting(work: StageWork, machines: Sequence[MachineKind], at: TimingContext, rejections: Rejections) -> Layouts:
    """The layouts of `at` whose training, rollout and host memory fit."""
    layouts = at.layouts
    alive = np.ones(len(layouts), dtype=bool)

    def name(row: int) -> str:
        gpu = machines[int(layouts.machine[row])].gpu.name
        degrees = f"tp{layouts.tp[row]:.0f} pp{layouts.pp[row]:.0f} ep{layouts.ep[row]:.0f}"
        return f"{layouts.gpus[row]:.0f} × {gpu}, {degrees}, replica of {layouts.replica[row]:.0f}"

    if work.training is not None:
        need = train_memory(work, at)
        alive = rejections.rows(alive, "training memory", _most(need), need.fits, name)
    if work.training is not None and work.training.rl:
        host = host_need_bytes(training_workload(work, at))
        room = np.array([machine.memory_gib for machine in machines])[layouts.machine] * GIB * HOST_SHARE
        alive = rejections.rows(alive, "host memory", "offloaded states exceed the node's memory", host <= room, name)
    for number, generation in enumerate(work.generations):
        need = rollout_memory(work, number, at)
        alive = rejections.rows(alive, f"{generation.role} memory", _most(need), need.fits, name)
    return layouts.take(_small_replicas(layouts, alive))


def _small_replicas(layouts: Layouts, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keeps replicas up to four times the smallest that fits on the same machines: larger ones only add traffic."""
    key = layouts.machine * 1_000_003 + layouts.nodes.astype(np.int64)
    _, inverse = np.unique(key, return_inverse=True)
    smallest = np.full(int(inverse.max(initial=0)) + 1, np.inf)
    np.minimum.at(smallest, inverse[alive], layouts.replica[alive])
    return alive & (layouts.replica <= 4.0 * smallest[inverse])


def _most(need: Need) -> str:
    """What fills most of the memory, over the rows that do not fit."""
    bad = ~need.fits
    if not bad.any():
        return "memory"
    sizes = {part: _median(np.broadcast_to(amount, bad.shape)[bad]) for part, amount in need.parts.items()}
    part = max(sizes, key=lambda name: sizes[name])
    return f"does not fit the HBM; mostly {part}"


def _median(values: NDArray[np.float64]) -> float:
    """The same as `np.median`, which would import numpy's masked arrays first: 20 ms."""
    ordered, count = np.sort(values), len(values)
    return float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)
