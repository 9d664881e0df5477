"""A run on AWS, Google Cloud or Azure on Pulumi's real engine: `up` makes the fleet, the supervisor's own code asks for its nodes
by the cloud's own client, `down` removes all of it, and the bill is what the cloud's own meter says.  Kubernetes is out of
reach here: no pod runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "pulumi"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "targets"))

from eks_facade import EksFacade, serving  # noqa: E402 - found by the path above
from fleet import FakeFleet, build_engine  # noqa: E402
from gke_and_aks import serving_azure, serving_google  # noqa: E402

from clusterctl.ledger import open_ledger  # noqa: E402
from clusterctl.ledger.ledger import Ledger  # noqa: E402
from clusterctl.plan_service import Planner, open_source  # noqa: E402
from clusterctl.runs import own_cluster  # noqa: E402
from clusterctl.runs.run import OpenRun, open_run  # noqa: E402
from clusterctl.runs.starting import UpAction, decide  # noqa: E402
from clusterctl.runs.watch import Watch  # noqa: E402
from clusterctl.targets import cloud, cloud_nodes, cloud_pools, kubernetes, slurm  # noqa: E402
from clusterctl.targets.home import ThisMachine  # noqa: E402
from clusterctl.targets.wishes import Wish, heed  # noqa: E402
from planners.plan.unit_prices import SYSTEM_NODE_TYPES  # noqa: E402
from planners.plan.value import Plan  # noqa: E402

Run = Callable[..., Any]
SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}, job: {{command: "true"}}}}
fleet: {{targets: [{cloud}], regions: [{region}], gpus: [H100]}}
limits: {{usd: 60000, hours: 100}}
"""
REGIONS = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}
STANDING = {
    "aws": {"Cluster": 0.1, "NatGateway": 0.045, SYSTEM_NODE_TYPES["aws"]: 0.096},
    "gcp": {"Cluster": 0.1, "RouterNat": 0.0448, SYSTEM_NODE_TYPES["gcp"]: 0.067011},
    "azure": {"ManagedCluster": 0.196, "NatGateway": 0.045},
}
"""Dollars an hour in the fake cloud; a cluster of AKS with its small node."""
POOLS = ("NodeGroup", "NodePool", "AgentPool")
Machines = Mapping[str, Mapping[str, Any]]
KUBECTL = """#!/bin/sh
echo "Unable to connect to the server: dial tcp 127.0.0.1:1: connect: connection refused" >&2
exit 1
"""


class Cluster:
    """What the supervisor sees of Kubernetes: no pod, no node."""

    name = "this cluster"

    def items(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return []

    pages = items


def supervised(run: OpenRun, monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str) -> OpenRun:
    """The run as its supervisor in the cluster has it."""
    from recorded_sky import Sky
    from test_cloud_target import NoPods

    (folder / "namespace").write_text("clusterctl")
    for module in (cloud, kubernetes, slurm):
        monkeypatch.setattr(module, "in_place", lambda: True)
    monkeypatch.setattr(kubernetes, "NAMESPACE_FILE", folder / "namespace")
    monkeypatch.setattr(kubernetes.KubernetesTarget, "skypilot", lambda *_: Sky())
    monkeypatch.setattr(Sky, "end_family", lambda self: None, raising=False)
    monkeypatch.setattr(NoPods, "now", lambda self: time.time())
    target = cloud.CloudTarget(run.folder.path.parents[1], kind, api=Cluster())  # type: ignore[arg-type]
    target.place.shell = NoPods()
    target.home = ThisMachine(run.folder.path.parents[1])
    return replace(run, target=target)


def watched_until(ledger: Ledger, watch: Watch, condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while watch.tick() and not condition():
        assert time.monotonic() < deadline, [event.message for event in ledger.events(watch.run.run_id)]
        time.sleep(0.2)


@contextmanager
def asked_on(
    kind: str, fleet: FakeFleet, folder: Path, account: str
) -> Iterator[tuple[Machines, Mapping[str, str], Mapping[str, str]]]:
    """All machines that the cloud has had; and the environment of who has an account there, on a laptop and in the cluster."""
    if kind == "gcp":
        with serving_google(fleet.cloud, folder) as (pools, said):
            yield pools.machines, said, said
    elif kind == "azure":
        with serving_azure(fleet.cloud) as (pools, said):
            yield pools.machines, said, said
    else:
        facade = EksFacade(fleet.cloud)
        with serving(facade) as url:
            said = {
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            yield facade.machines, said | {"AWS_ENDPOINT_URL": account}, said | {"AWS_ENDPOINT_URL": url}


@pytest.mark.parametrize("kind", ["aws", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gcp", "azure"))])
def test_a_run_in_a_cloud_from_up_to_down(
    tmp_path: Path, in_process: Run, moto_url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With an edit of its spec in the middle: it goes on with another number of nodes, on the same cluster."""
    region = REGIONS[kind]
    (tmp_path / "run.yaml").write_text(SPEC.format(cloud=kind, region=region))
    planned = in_process("plan", "run.yaml", "--out", "plan.json")
    assert planned.returncode == 0, planned.stderr
    fleet = FakeFleet(tmp_path, build_engine(), tmp_path / "plan.json")
    kubectl = fleet.folder / "plugins" / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    store = tmp_path / "store"
    monkeypatch.setattr(cloud_nodes, "FORGOTTEN", timedelta(seconds=3))
    monkeypatch.setattr(cloud_pools, "LOOK_SECONDS", 0.5)
    with asked_on(kind, fleet, tmp_path, moto_url) as (machines, laptop, inside):
        environment = fleet.environment | {
            "CLUSTERCTL_HOME": str(store),
            "CLUSTERCTL_IMAGE": "registry/clusterctl:1",
            "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
            "no_proxy": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            **laptop,
        }
        environment["PATH"] += os.pathsep + str(Path(shutil.which("python3") or "/usr/bin/python3").parent)
        command = lambda *words: in_process(*words, **environment)  # noqa: E731
        up = lambda *words: command("up", "run.yaml", *words, "--allow-unknown-price", "--allow-over-limit")  # noqa: E731

        preview = up("--dry-run")
        assert preview.returncode == 0, preview.stderr
        assert "no node among them" in preview.stdout
        assert fleet.cloud.held() == []
        priced = {pool["instance_type"]: pool["usd_per_node_hour"] for pool in fleet.pools}
        fleet.cloud.set(prices=priced | STANDING[kind])

        begun = up("--yes", "--detach")
        assert (begun.returncode, "can't be reached" in begun.stderr) == (1, True), begun.stderr[-3000:]
        assert len([held for held in fleet.cloud.held() if held.type.endswith(POOLS)]) > 1
        with open_ledger(str(store / "ledger.db")) as ledger:
            (row,) = ledger.runs()
            (shown,) = json.loads(command("status", row.run_id, "--json").stdout)
            assert shown["state"] == "provisioning"
            assert command("drift", row.run_id).returncode == 0

            with monkeypatch.context() as patch:
                for name, value in (environment | inside).items():
                    patch.setenv(name, value)
                run = supervised(open_run(ledger, store, row.run_id), patch, tmp_path, kind)
                watch = Watch(run)
                live = lambda: [r for r in ledger.resources(row.run_id) if r.kind == "machine" and r.state == "live"]  # noqa: E731
                watched_until(ledger, watch, lambda: len(live()) == nodes_of(run.plan))
                edited = edit(ledger, store, tmp_path, run.run_id)
                watched_until(
                    ledger, watch, lambda: watch.run.plan.id == edited and len(live()) == nodes_of(watch.run.plan)
                )
                assert len(machines) == max(nodes_of(run.plan), nodes_of(watch.run.plan)), "those that live are kept"
                ledger.set_desired(row.run_id, "down")
                watched_until(ledger, watch, lambda: False)
            assert ledger.get_run(row.run_id).state == "stopped"
            assert all(machine["until"] for machine in machines.values())

            status = command("status")
            assert "its cluster stands, and costs" in status.stdout.replace("\n    ", " "), status.stdout
            monkeypatch.setattr(own_cluster, "AWAY_SECONDS", 1.0)
            down = command("down", row.run_id, "--yes")
            assert down.returncode == 0, down.stderr[-3000:]
            assert "nothing left running" in down.stdout
            assert fleet.cloud.held() == []
            billed = Decimal(ledger.bill(row.run_id).known_usd)
            paid = sum(line.known_usd for line in ledger.bill(row.run_id).lines if line.kind == "machine")
    metered = fleet.cloud.metered_usd()
    print(f"{kind}: billed {billed}, of which machines {paid}; metered {metered}")
    assert billed > paid > Decimal("0.05")
    a_second = sum(pool["nodes"] * pool["usd_per_node_hour"] for pool in fleet.pools) / 3600
    unseen = 0.0 if kind == "aws" else 5 * a_second  # Google and Azure don't show when a machine has ended
    assert float(metered) - unseen - 0.001 <= float(billed) <= float(metered) + 0.001


def edit(ledger: Ledger, store: Path, folder: Path, run_id: str) -> str:
    """One GPU node more, as `up` of the edited spec writes it for a supervisor that it reaches; the new plan's id.

    The cluster in these tests can't be reached from a laptop, and what `up` makes of it is tested elsewhere.
    """
    plan = open_run(ledger, store, run_id).plan
    nodes = next(pool.nodes for pool in plan.pools if pool.gpu) + 1
    spec = (folder / "run.yaml").read_text().replace("gpus: [H100]", f"gpus: [H100], nodes: {nodes}")
    (folder / "edited.yaml").write_text(spec)
    edited = Planner(now=plan.created_at).plan(open_source(str(folder / "edited.yaml")))
    launch = decide(ledger, store, edited)
    assert launch.action is UpAction.CHANGE
    ledger.keep_plan(edited)
    heed(ledger, run_id, Wish(desired="up", plan_id=edited.id), at=ledger.now())
    return edited.id


def nodes_of(plan: Plan) -> int:
    return sum(pool.nodes for pool in plan.pools)
