"""Which layouts fit the memory of GPUs and hosts.  What does not is counted by rule, with what fills it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Workload
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
SHOWN_PARTS = 3


def train_memory(work: StageWork, at: TimingContext) -> Need:
    """Bytes per training GPU of a stage that trains.  A micro batch holds the longest sequence at the least."""
    training = work.training
    assert training is not None
    tokens = np.maximum(micro_batch(training, at) * training.seq_len, training.longest_sequence)
    return train_need(training_workload(work, at), micro_batch_tokens=tokens)


def rollout_memory(work: StageWork, number: int, at: TimingContext) -> Need:
    """Bytes per rollout GPU of the generation with this number."""
    return rollout_need(serving(work, number, at))


def serving(work: StageWork, number: int, at: TimingContext) -> Workload:
    """The physics' view of the generation with this number."""
    main = number == 0 and work.training is not None
    return training_workload(work, at) if main else generation_workload(work, work.generations[number], at)


def memory_needs(work: StageWork, machines: Sequence[MachineKind], at: TimingContext) -> Iterator[tuple[str, Need]]:
    """Every memory that a stage fills, by the rule that rejects what does not fit it."""
    if work.training is not None:
        yield f"training{MEMORY}", train_memory(work, at)
        states = host_need_bytes(training_workload(work, at))
        if np.any(states):
            room = np.array([machine.memory_gib for machine in machines])[at.layouts.machine] * GIB * HOST_SHARE
            parts = {"states outside the GPUs, per node": states + 0.0 * room}
            yield f"host{MEMORY}", Need(parts=parts, available_bytes=room)
    for number, generation in enumerate(work.generations):
        yield f"{generation.role}{MEMORY}", rollout_memory(work, number, at)


def fitting(work: StageWork, machines: Sequence[MachineKind], at: TimingContext, rejections: Rejections) -> Layouts:
    """The layouts of `at` whose training, rollout and host memory fit."""
    layouts = at.layouts
    alive, tight = np.ones(len(layouts), dtype=bool), np.zeros(len(layouts), dtype=bool)

    def name(row: int) -> str:
        gpu = machines[int(layouts.machine[row])].gpu.name
        degrees = f"tp{layouts.tp[row]:.0f} pp{layouts.pp[row]:.0f} ep{layouts.ep[row]:.0f}"
        return f"{layouts.gpus[row]:.0f} × {gpu}, {degrees}, replica of {layouts.replica[row]:.0f}"

    for rule, need in memory_needs(work, machines, at):
        misses = alive & ~need.fits
        if misses.any():
            alive = rejections.rows(alive, rule, shortage(need, misses), need.fits, name)
        tight |= need.tight
    return layouts.take(_sensible(layouts, alive, tight))


def _sensible(layouts: Layouts, alive: NDArray[np.bool_], tight: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`alive` without what something on the same machines makes needless: layouts whose memory is `tight`, and
    replicas over four times the smallest that fits, since larger ones only add traffic."""
    key = layouts.machine * 1_000_003 + layouts.nodes.astype(np.int64)
    _, inverse = np.unique(key, return_inverse=True)
    count = int(inverse.max(initial=0)) + 1
    roomy = np.bincount(inverse[alive & ~tight], minlength=count) > 0
    alive = alive & ~(tight & roomy[inverse])
    smallest = np.full(count, np.inf)
    np.minimum.at(smallest, inverse[alive], layouts.replica[alive])
    return alive & (layouts.replica <= 4.0 * smallest[inverse])


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
