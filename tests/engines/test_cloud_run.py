"""A run on "aws" on Pulumi's real engine: `up` makes the fleet, the supervisor's own code asks for its nodes by boto3, `down`
removes all of it, and the bill is what the cloud's own meter says.  Kubernetes is out of reach here: no pod runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "pulumi"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "targets"))

from eks_facade import EksFacade, serving  # noqa: E402 - found by the path above
from fleet import FakeFleet, build_engine, make_plan  # noqa: E402

from clusterctl.ledger import open_ledger  # noqa: E402
from clusterctl.ledger.ledger import Ledger  # noqa: E402
from clusterctl.runs import own_cluster  # noqa: E402
from clusterctl.runs.run import OpenRun, open_run  # noqa: E402
from clusterctl.runs.watch import Watch  # noqa: E402
from clusterctl.targets import cloud, kubernetes, slurm  # noqa: E402
from clusterctl.targets.home import ThisMachine  # noqa: E402

Run = Callable[..., Any]
SPEC = """
name: rlcef
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {mean: 2000}, job: {command: "true"}}
fleet: {targets: [aws], regions: [us-east-1], gpus: [H100]}
limits: {usd: 60000, hours: 100}
"""
STANDING = {"Cluster": 0.1, "NatGateway": 0.045}
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


def supervised(run: OpenRun, monkeypatch: pytest.MonkeyPatch, folder: Path) -> OpenRun:
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
    target = cloud.CloudTarget(run.folder.path.parents[1], "aws", api=Cluster())  # type: ignore[arg-type]
    target.place.shell = NoPods()
    target.home = ThisMachine(run.folder.path.parents[1])
    return replace(run, target=target)


def watched_until(ledger: Ledger, watch: Watch, condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while watch.tick() and not condition():
        assert time.monotonic() < deadline, [event.message for event in ledger.events(watch.run.run_id)]
        time.sleep(0.2)


def test_a_run_on_aws_from_up_to_down(
    tmp_path: Path, in_process: Run, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = FakeFleet(tmp_path, build_engine(), make_plan(tmp_path, in_process, "aws"))
    (tmp_path / "run.yaml").write_text(SPEC)
    kubectl = fleet.folder / "plugins" / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    store = tmp_path / "store"
    environment = fleet.environment | {
        "CLUSTERCTL_HOME": str(store),
        "CLUSTERCTL_IMAGE": "registry/clusterctl:1",
        "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "no_proxy": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }
    environment["PATH"] += os.pathsep + str(Path(shutil.which("python3") or "/usr/bin/python3").parent)
    allowed = ("--allow-old-prices", "--allow-unknown-price", "--allow-over-limit")
    command = lambda *words: in_process(*words, **environment)  # noqa: E731

    preview = command("up", "run.yaml", "--dry-run", *allowed)
    assert preview.returncode == 0, preview.stderr
    assert "no node among them" in preview.stdout
    assert fleet.cloud.held() == []
    pools = {pool["instance_type"]: pool["usd_per_node_hour"] for pool in fleet.pools}
    fleet.cloud.set(prices=pools | STANDING | {"m6i.large": 0.096})

    up = command("up", "run.yaml", "--yes", "--detach", *allowed)
    assert (up.returncode, "can't be reached" in up.stderr) == (1, True), up.stderr[-3000:]
    groups = [held for held in fleet.cloud.held() if held.type == "aws:eks/nodeGroup:NodeGroup"]
    assert sorted(held.properties["scalingConfig"]["desiredSize"] for held in groups)[-1] == 1, "the system node's"
    assert len(groups) > 2
    with open_ledger(str(store / "ledger.db")) as ledger:
        (row,) = ledger.runs()
        (shown,) = json.loads(command("status", row.run_id, "--json").stdout)
        assert shown["state"] == "provisioning"

        facade = EksFacade(fleet.cloud)
        with serving(facade) as url, monkeypatch.context() as patch:
            for name, value in (environment | {"AWS_ENDPOINT_URL": url}).items():
                patch.setenv(name, value)
            run = supervised(open_run(ledger, store, row.run_id), patch, tmp_path)
            nodes = sum(pool["nodes"] for pool in fleet.pools)
            watch = Watch(run)
            live = lambda: sum(r.kind == "machine" and r.state == "live" for r in ledger.resources(row.run_id))  # noqa: E731
            watched_until(ledger, watch, lambda: live() == nodes)
            assert len(facade.machines) == nodes
            ledger.set_desired(row.run_id, "down")
            watched_until(ledger, watch, lambda: False)
        assert ledger.get_run(row.run_id).state == "stopped"
        assert all(machine["until"] for machine in facade.machines.values())

        status = command("status")
        assert "its cluster stands, and costs" in status.stdout.replace("\n    ", " "), status.stdout
        monkeypatch.setattr(own_cluster, "AWAY_SECONDS", 1.0)
        down = command("down", row.run_id, "--yes")
        assert down.returncode == 0, down.stderr[-3000:]
        assert "nothing left running" in down.stdout
        assert fleet.cloud.held() == []
        billed = Decimal(ledger.bill(row.run_id).known_usd)
        machines = sum(line.known_usd for line in ledger.bill(row.run_id).lines if line.kind == "machine")
    metered = fleet.cloud.metered_usd()
    assert billed > machines
    print(f"billed {billed}, of which machines {machines}; metered {metered}")
    assert machines > Decimal("0.05")
    assert billed == pytest.approx(metered, abs=Decimal("0.001"))
