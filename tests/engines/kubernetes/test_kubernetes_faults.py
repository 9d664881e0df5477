"""Runs on two real nodes, while two go on at once: the API server away, the lease stolen, supervisors' pods deleted, a node lost.

The bill is what the API's own record says: from when each pod was given a node until it ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from control_plane import ControlPlane, wait
from laptop import Laptop
from pod_record import PodRecord
from real_node import RealNode

SPEC = r"""
name: @NAME@
stages:
  - kind: sft
    name: sft
    model: clusterctl/quickstart
    tokens: 1e6
    job:
      image: localhost/sky:test
      command: |
        echo "rank $CLUSTERCTL_NODE_RANK of $CLUSTERCTL_NODES, $CLUSTERCTL_GPUS_PER_NODE GPUs"
        for step in $(seq 4000); do
          [ "$CLUSTERCTL_NODE_RANK" = 0 ] && echo "{\"at\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"stage\": \"sft\", \"step\": $step, \"of\": 4000}" >>"$CLUSTERCTL_REPORTS"
          sleep 1
        done
fleet:
  targets: ["kubernetes:test"]
  nodes: @NODES@
  machines: [{name: gpu, gpu: H100, gpus_per_node: 8, nodes: 2, vcpus: 3, memory_gib: 6, usd_per_hour: 36}]
limits: {usd: 200, hours: 2}
"""
USD_PER_SECOND = 0.01
LATE_SECONDS = 6.0
"""Of each pod: a look comes every four seconds."""


@pytest.fixture(scope="module")
def laptop(two_nodes: tuple[RealNode, RealNode], tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    return Laptop(two_nodes[0].plane, tmp_path_factory.mktemp("laptop"))


@pytest.fixture(scope="module")
def record(two_nodes: tuple[RealNode, RealNode], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodRecord]:
    with PodRecord(two_nodes[0].plane, tmp_path_factory.mktemp("record") / "pods.json") as started:
        yield started


def spec(name: str, nodes: int) -> str:
    return SPEC.replace("@NAME@", name).replace("@NODES@", str(nodes))


def runs(laptop: Laptop, run_id: str, *, after_step: int = 0) -> None:
    def steps() -> bool:
        return int(laptop.row(run_id)["step"] or 0) > after_step

    wait(steps, f"{run_id} is past step {after_step}", why=lambda: laptop.why(run_id), seconds=1500)


def problems(laptop: Laptop, run_id: str) -> str:
    return " ".join(problem["what"] for problem in laptop.row(run_id)["problems"])


def down(laptop: Laptop, record: PodRecord, run_id: str) -> None:
    """Ends it, and compares its bill with the record."""
    laptop.must("down", run_id, "--yes", seconds=400)
    pods = f"cctl-{run_id}"
    wait(lambda: pods not in laptop.plane.kubectl("get", "pods"), "its pods are gone", why=lambda: laptop.why(run_id))
    row, paid = laptop.row(run_id), record.paid_seconds(pods) * USD_PER_SECOND
    assert row["state"] == "stopped"
    late = LATE_SECONDS * USD_PER_SECOND * len(record.spans(pods))
    assert paid - 0.02 <= float(row["usd"]) <= paid + late, record.spans(pods)


def away(plane: ControlPlane, record: PodRecord, seconds: float) -> None:
    """The API server is gone for so long."""
    plane.daemons.end("apiserver", force=True)
    time.sleep(seconds)
    plane.start_apiserver()
    record.watch()


@pytest.mark.slow  # half an hour of two busy cores: two SkyPilot servers, three gangs
def test_two_runs_with_every_fault(two_nodes: tuple[RealNode, RealNode], laptop: Laptop, record: PodRecord) -> None:
    plane, (_, other) = laptop.plane, two_nodes
    first = laptop.up("first", spec("first", 2))
    runs(laptop, first)
    second = laptop.up("second", spec("second", 2))
    waits = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu"
    wait(lambda: waits in problems(laptop, second), "it says why", why=lambda: laptop.why(second), seconds=600)

    plane.daemons.end("apiserver", force=True)
    time.sleep(30)
    assert "out of reach since" in problems(laptop, first)
    assert " old; it goes on, and ends at its limits" in problems(laptop, first)
    time.sleep(30)
    plane.start_apiserver()
    record.watch()
    runs(laptop, first, after_step=int(laptop.row(first)["step"]) + 5)
    down(laptop, record, second)
    assert record.paid_seconds(f"cctl-{second}") == 0

    stolen = '{"spec":{"holderIdentity":"thief","leaseDurationSeconds":5}}'
    plane.kubectl("patch", "lease", f"clusterctl-{first}", "--type=merge", "-p", stolen)
    runs(laptop, first, after_step=int(laptop.row(first)["step"]) + 5)
    for pause in (2, 25, 11):
        plane.kubectl("delete", "pods", "--wait=false", "-l", f"app.kubernetes.io/instance=clusterctl-{first}")
        time.sleep(pause)
    runs(laptop, first, after_step=int(laptop.row(first)["step"]) + 5)
    assert len([line for line in laptop.must("events", first).splitlines() if " launch " in line]) == 1

    other.lose()
    wait(
        lambda: "(node lost" in laptop.must("events", first),
        "the node is lost",
        why=lambda: laptop.why(first),
        seconds=400,
    )
    wait(
        lambda: "Insufficient nvidia.com/gpu" in problems(laptop, first),
        "it asks anew",
        why=lambda: laptop.why(first),
        seconds=600,
    )
    plane.kubectl("delete", "node", other.name)
    down(laptop, record, first)


@pytest.mark.slow  # a quarter of an hour
def test_the_api_server_is_away_for_ten_minutes(laptop: Laptop, record: PodRecord) -> None:
    run_id = laptop.up("long", spec("long", 1))
    runs(laptop, run_id)
    step = int(laptop.row(run_id)["step"])
    away(laptop.plane, record, 600)
    runs(laptop, run_id, after_step=step + 400)
    down(laptop, record, run_id)
