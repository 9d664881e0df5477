"""Candidate layouts: every degree divides what it splits, and nothing allowed is passed over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.catalog.lookup import find_gpu
from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED, FSDP, MEGATRON
from planners.search.machines import MachineKind, machine_columns
from planners.search.node_counts import GPU_COUNTS, NodeRange, node_counts
from planners.search.search_space import NO_GPUS, Options, enumerate_layouts


def machine(gpu: str = "H100", gpus: int = 8, network: float | None = 3200.0) -> MachineKind:
    return MachineKind(gpu=find_gpu(gpu), gpus_per_node=gpus, network_gbps=network, memory_gib=2048.0, vcpus=192.0)


DEGREES = st.lists(st.sampled_from([1, 2, 3, 4, 8, 16, 32]), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    gpus=st.sampled_from([1, 2, 4, 8, 16]),
    most=st.integers(1, 300),
    tps=DEGREES,
    pps=DEGREES,
    cps=DEGREES,
    eps=DEGREES,
    replicas=DEGREES,
    shares=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3).map(tuple),
)
def test_every_degree_divides_what_it_splits(
    gpus: int,
    most: int,
    tps: tuple[int, ...],
    pps: tuple[int, ...],
    cps: tuple[int, ...],
    eps: tuple[int, ...],
    replicas: tuple[int, ...],
    shares: tuple[float, ...],
) -> None:
    options = Options(
        trains=True,
        generates=True,
        schedules=(COLOCATED, DISAGGREGATED, ASYNC),
        rollout_shares=shares,
        shardings=(FSDP, MEGATRON),
        tps=tps,
        pps=pps,
        cps=cps,
        eps=eps,
        replicas=replicas,
    )
    lay = enumerate_layouts([machine("L40S", 1), machine(gpus=gpus)], options, NodeRange(max_gpus=most))
    per_node = np.where(lay.machine == 0, 1.0, float(gpus))
    assert (lay.gpus == lay.nodes * per_node).all()
    assert (lay.gpus <= most).all()
    assert (lay.tp * lay.pp * lay.cp * lay.dp == lay.train_gpus).all()
    assert (lay.dp == np.floor(lay.dp)).all()
    assert (lay.dp >= 1).all()
    assert (np.mod(lay.rollout_gpus, lay.replica) == 0).all()
    assert ((lay.ep == 1) | (np.mod(lay.train_gpus / lay.pp, lay.ep) == 0)).all()
    assert (np.mod(per_node, lay.tp) == 0).all(), "no tensor-parallel group spans nodes"
    assert ((np.mod(per_node, lay.replica) == 0) | (np.mod(lay.replica, per_node) == 0)).all()
    split = lay.schedule != COLOCATED
    assert (lay.train_gpus[split] + lay.rollout_gpus[split] == lay.gpus[split]).all()
    assert (lay.train_gpus[split] >= per_node[split]).all()
    assert (lay.train_gpus[~split] == lay.gpus[~split]).all()
    assert (lay.rollout_gpus[~split] == lay.gpus[~split]).all()
    fixed = lay.sharding == FSDP
    assert (lay.tp[fixed] * lay.pp[fixed] * lay.ep[fixed] == 1).all(), "FSDP shards weights by itself"


@given(
    gpus=st.sampled_from([1, 2, 4, 8, 16]),
    most=st.integers(1, 40_000),
    low=st.integers(1, 50),
    more=st.one_of(st.none(), st.integers(0, 200)),
    quota=st.one_of(st.none(), st.integers(0, 5000)),
)
def test_node_counts_stay_within_what_is_allowed_and_reach_its_end(
    gpus: int, most: int, low: int, more: int | None, quota: int | None
) -> None:
    high = None if more is None else low + more
    allowed = NodeRange(
        max_gpus=most, min_nodes=low, max_nodes=high, quota_gpus={} if quota is None else {"H100": quota}
    )
    counts = list(node_counts(machine(gpus=gpus), allowed))
    limit = min(most, most if quota is None else quota) // gpus
    end = limit if high is None else min(limit, high)
    assert counts == sorted(set(counts))
    assert all(low <= count <= end for count in counts)
    assert bool(counts) == (low <= end)
    if counts and low != high:
        assert counts[-1] == end
        usual = {total // gpus for total in GPU_COUNTS if total % gpus == 0 and low <= total // gpus <= end}
        assert usual <= set(counts)


def test_quota_of_another_gpu_does_not_count() -> None:
    allowed = NodeRange(max_gpus=64, quota_gpus={"H200": 8})
    assert max(node_counts(machine(), allowed)) == 8
    assert list(node_counts(machine("H200"), allowed)) == [1]


def test_large_replicas_take_whole_nodes() -> None:
    options = Options(trains=False, generates=True, replicas=(4, 6, 16))
    lay = enumerate_layouts([machine()], options, NodeRange(max_gpus=64))
    assert set(lay.replica.tolist()) == {4.0, 16.0}, "6 of 8 GPUs leave two idle or span nodes"
    assert set(lay.nodes[lay.replica == 16].tolist()) == {2.0, 4.0, 6.0, 8.0}


def test_no_machines_give_no_layouts_and_no_gpus_one() -> None:
    assert len(enumerate_layouts([], Options(trains=True, generates=True), NodeRange(max_gpus=64))) == 0
    assert len(NO_GPUS) == 1
    assert NO_GPUS.machine.tolist() == [-1]


@pytest.mark.parametrize(("network", "expected"), [(3200.0, 50e9), (800.0, 12.5e9)])
def test_the_network_per_gpu_is_the_offers(network: float, expected: float) -> None:
    columns = machine_columns([machine(network=network)], np.zeros(1, dtype=np.int64))
    assert np.asarray(columns.scale_out_bytes_per_s).tolist() == [expected]


def test_without_an_offers_network_the_gpus_usual_one_counts() -> None:
    columns = machine_columns([machine(network=None)], np.zeros(1, dtype=np.int64))
    assert np.asarray(columns.scale_out_bytes_per_s).tolist() == [find_gpu("H100").scale_out_bytes_per_s]


def test_tensor_parallelism_of_a_trainer_ends_at_the_scale_up_links_unless_it_is_stated() -> None:
    nodes = NodeRange(max_gpus=64, min_nodes=4, max_nodes=4)
    options = Options(trains=True, generates=False, shardings=(MEGATRON,), tps=(4, 8, 16))
    rack, node = machine("GB200", 4), machine("H100", 8)
    assert set(enumerate_layouts([rack], options, nodes).tp.tolist()) == {4.0, 8.0, 16.0}
    assert set(enumerate_layouts([node], options, nodes).tp.tolist()) == {4.0, 8.0}
    stated = Options(trains=True, generates=False, shardings=(MEGATRON,), tps=(16,), tp_is_stated=True)
    assert set(enumerate_layouts([node], stated, nodes).tp.tolist()) == {16.0}
