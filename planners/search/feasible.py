"""Which layouts fit the memory of GPUs and hosts.  What does not is counted by rule, with what fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array, Workload
from planners.physics.memory import Need, host_need_bytes, rollout_need, train_need
from planners.search.machines import MachineKind
from planners.search.rejections import Rejections
from planners.units import GIB
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.stage_work import StageWork
from planners.workload.work_columns import generation_workload, micro_batch, training_workload

HOST_SHARE = 0.9
"""Of a node's memory that offloaded states may fill.  Assumption."""
MEMORY = " memory"
"""What the names of these rules end in."""
HOST_RULE = f"host{MEMORY}"
SHOWN_PARTS = 3


def train_memory(work: StageWork, at: TimingContext) -> Need:
    """Bytes per training GPU of a stage that trains."""
    return train_need(training_workload(work, at), micro_batch_tokens=micro_batch_tokens(work, at))


def micro_batch_tokens(work: StageWork, at: TimingContext) -> Array:
    """Tokens of the largest micro batch of a stage that trains: the longest sequence at the least."""
    training = work.training
    assert training is not None
    return np.maximum(micro_batch(training, at) * training.seq_len, training.longest_sequence)


def rollout_memory(work: StageWork, number: int, at: TimingContext) -> Need:
    """Bytes per rollout GPU of the generation with this number."""
    return rollout_need(serving(work, number, at))


def serving(work: StageWork, number: int, at: TimingContext) -> Workload:
    """The physics' view of the generation with this number."""
    main = number == 0 and work.training is not None
    return training_workload(work, at) if main else generation_workload(work, work.generations[number], at)


Needs = Iterator[tuple[str, Need]]
"""Memory that a stage fills, by the rule that rejects what does not fit it."""


def training_needs(work: StageWork, machines: Sequence[MachineKind], at: TimingContext) -> Needs:
    """Memory of the trainer, on GPUs and on hosts."""
    trained = training_workload(work, at)
    yield f"training{MEMORY}", train_need(trained, micro_batch_tokens=micro_batch_tokens(work, at))
    states = host_need_bytes(trained)
    if np.any(states):
        room = np.array([machine.memory_gib for machine in machines])[at.layouts.machine] * GIB * HOST_SHARE
        parts = {"states outside the GPUs, per node": states + 0.0 * room}
        yield HOST_RULE, Need(parts=parts, available_bytes=room)


def serving_needs(work: StageWork, at: TimingContext) -> Needs:
    """Memory of every model that generates."""
    for number, generation in enumerate(work.generations):
        yield f"{generation.role}{MEMORY}", rollout_memory(work, number, at)


def fitting(layouts: Layouts, needs: Needs, machines: Sequence[MachineKind], rejections: Rejections) -> Layouts:
    """The layouts whose memory fits; those that fill it but for a rest only where nothing else fits these pools."""
    alive, tight = np.ones(len(layouts), dtype=bool), np.zeros(len(layouts), dtype=bool)

    def name(row: int) -> str:
        gpu = machines[int(layouts.machine[row])].gpu.name
        degrees = f"tp{layouts.tp[row]:.0f} pp{layouts.pp[row]:.0f} ep{layouts.ep[row]:.0f}"
        return f"{layouts.gpus[row]:.0f} × {gpu}, {degrees}, replica of {layouts.replica[row]:.0f}"

    for rule, need in needs:
        fits = need.fits
        misses = alive & ~fits
        if misses.any():
            alive = rejections.rows(alive, rule, shortage(need, misses), fits, name)
        tight |= need.tight
    _, pool = np.unique(pools_key(layouts), return_inverse=True)
    roomy = np.bincount(pool[alive & ~tight], minlength=int(pool.max(initial=0)) + 1) > 0
    return layouts.take(alive & ~(tight & roomy[pool]))


def pools_key(layouts: Layouts) -> NDArray[np.int64]:
    """A number per machine, nodes, schedule and rollout GPUs."""
    nodes, rollout_nodes = layouts.nodes.astype(np.int64), layouts.rollout_gpus.astype(np.int64)
    return ((layouts.machine * 65_537 + nodes) * 4 + layouts.schedule.astype(np.int64)) * 1_000_003 + rollout_nodes


def shortage(need: Need, rows: NDArray[np.bool_]) -> str:
    """How much is missing on the row (of those given) that misses least, and what fills its memory."""
    missing = np.where(rows, need.missing_bytes, np.inf)
    row = int(np.argmin(missing))
    gib = {part: float(np.broadcast_to(size, missing.shape)[row]) / GIB for part, size in need.parts.items()}
    listed = ", ".join(
        f"{part} {size:.1f}" for part, size in sorted(gib.items(), key=lambda item: -item[1])[:SHOWN_PARTS]
    )
    have, lacking = float(need.available_bytes[row]) / GIB, missing[row] / GIB
    amount = "less than 0.1" if lacking < 0.05 else f"{lacking:.1f}"
    return f"{amount} GiB missing at best: {sum(gib.values()):.1f} of {have:.1f} GiB ({listed})"
