"""A Ray cluster of a job's ranks: who starts what, what is missing at the deadline, which interface, which network."""

from __future__ import annotations

import itertools
import socket
from typing import Any

import clusterctl_preflight
import clusterctl_ray
import pytest


def node(rank: int, gpus: float = 8, **more: Any) -> dict[str, Any]:
    return {"Alive": True, "Resources": {f"clusterctl_rank_{rank}": 1.0, "GPU": gpus}} | more


def options(*words: str) -> Any:
    return clusterctl_ray.arguments(["--nodes", "3", "--gpus", "8", "--port", "20001", *words])


def test_what_is_missing_is_said_by_rank() -> None:
    whole = [node(0), node(1), node(2)]
    assert clusterctl_ray.missing_in(whole, nodes=3, gpus=8) == ""
    assert clusterctl_ray.missing_in(whole[:1], nodes=3, gpus=8) == "2 of 3 nodes: ranks 1, 2"
    assert clusterctl_ray.missing_in([node(0), node(1, 4), node(2)], nodes=3, gpus=8) == "4 of 8 GPUs of rank 1"
    assert "ranks 2" in clusterctl_ray.missing_in([node(0), node(1), node(2, Alive=False)], nodes=3, gpus=8)


def test_the_head_waits_until_all_are_there_and_not_beyond_the_deadline() -> None:
    seen = itertools.chain([[], [node(0)], [node(0), node(1), node(2)]], itertools.repeat([]))
    clock = itertools.count()
    paused: list[float] = []
    found = clusterctl_ray.wait_for_nodes(options(), lambda: next(seen), paused.append, lambda: next(clock))
    assert (found, len(paused)) == ("", 2)
    late = clusterctl_ray.wait_for_nodes(
        options("--deadline-seconds", "5"), lambda: [node(0)], paused.append, lambda: next(clock)
    )
    assert late == "2 of 3 nodes: ranks 1, 2"


def test_each_rank_starts_rays_own_port_and_folder_and_never_stops_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:20001")
    head = clusterctl_ray.start_command(options("--rank", "0"), "10.0.0.1", head=True)
    other = clusterctl_ray.start_command(options("--rank", "1", "--offset", "1"), "10.0.0.2", head=False)
    assert {"--head", "--port=20001", "--temp-dir=/tmp/ray-20001", "--num-gpus=8", "--block"} <= set(head)
    assert {"--address=10.0.0.1:20001", "--node-ip-address=10.0.0.2", '--resources={"clusterctl_rank_2": 1}'} <= set(
        other
    )
    assert "stop" not in head + other


def test_ranks_of_a_second_pool_count_on_after_those_of_the_first() -> None:
    command = clusterctl_ray.preflight_command(
        options("--rank", "0", "--offset", "2", "--preflight-port", "20002", "--fabric"), "10.0.0.1"
    )
    assert {"--nnodes=3", "--node-rank=2", "--nproc-per-node=8", "--master-port=20002", "--fabric"} <= set(command)


def test_the_interface_is_the_one_on_the_route_to_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clusterctl_ray.address_to("127.0.0.1") == "127.0.0.1"
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    assert clusterctl_ray.interface_of("127.0.0.1") == loopback
    assert clusterctl_ray.interface_of("203.0.113.7") == ""
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "chosen")
    assert clusterctl_ray.sockets("127.0.0.1") == {"GLOO_SOCKET_IFNAME": loopback}


def test_a_head_that_never_listens_is_one_message() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SystemExit, match="no Ray head on"):
            clusterctl_ray.wait_for_port("127.0.0.1", taken.getsockname()[1], 0.0)


@pytest.mark.parametrize(
    ("said", "network"),
    [
        ("host:1:2 [0] NCCL INFO Using network Socket\n", "Socket"),
        ("a NCCL INFO Using network IB\nb NCCL INFO Using network AWS Libfabric\n", "AWS Libfabric"),
        ("nothing of it", ""),
    ],
)
def test_tcp_is_refused_where_a_fabric_was_planned(said: str, network: str) -> None:
    assert clusterctl_preflight.network_in(said) == network
    refused = clusterctl_preflight.problem_of(network, fabric=True)
    assert ("NET/Socket" in refused) == (network == "Socket")
    assert clusterctl_preflight.problem_of(network, fabric=False) == ""
