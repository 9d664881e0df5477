"""The target of a cloud: its supervisor in the cluster asks for nodes first, then for pods; the way in from elsewhere."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from fake_cloud import CPU, FLEET, START, FakeCloud
from planned_run import run_of
from recorded_sky import Sky

from clusterctl.errors import StateError
from clusterctl.plan_service import Planner, open_source
from clusterctl.targets import cloud, kubernetes
from clusterctl.targets.base import MachineRequest
from clusterctl.targets.cloud_home import FLEET as FLEET_FILE
from clusterctl.targets.cloud_home import kubeconfig, read_fleet
from clusterctl.targets.shell import Ran, Shell
from planners.plan.value import Plan
from planners.runs.reconcile import InstancePhase

SPEC = """
name: rl
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2, job: {command: "true"}}
fleet: {targets: [aws], regions: [us-east-1]}
limits: {usd: 50, hours: 10}
"""


class NoPods(Shell):
    """The cluster, in which no pod of a pool is yet."""

    name = "this cluster"

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        listing = '{"items": []}\x1d{"items": []}'
        return Ran(exit_code=0, stdout=f"{self.now():.0f}\n{listing}".encode(), stderr="")

    def now(self) -> float:
        """By the cluster's clock."""
        return START.timestamp() + 60


class Api:
    """Kubernetes, whose nodes join after the cloud has launched them."""

    name, namespace, nodes = "this cluster", "clusterctl-rl-1", 0

    def items(self, kind: str, **selectors: str) -> list[dict[str, Any]]:
        return []

    def pages(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {}}
        return [{"metadata": {}, "spec": {}, "status": ready}] * self.nodes


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    (file := tmp_path_factory.mktemp("plan") / "run.yaml").write_text(SPEC)
    return Planner(now=START).plan(open_source(str(file)))


def test_pods_are_asked_for_once_the_nodes_of_their_pool_have_joined(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, account, api = run_of(plan, tmp_path), FakeCloud(), Api()
    pool = plan.pools[0]
    here = FLEET.pools[2].model_copy(update={"instance_type": pool.instance_type})
    (tmp_path / FLEET_FILE).write_text(FLEET.model_copy(update={"pools": (here,)}).model_dump_json())
    (tmp_path / "namespace").write_text("clusterctl-rl-1")
    for module in (cloud, kubernetes):
        monkeypatch.setattr(module, "in_place", lambda: True)
    monkeypatch.setattr("clusterctl.targets.slurm.in_place", lambda: True)
    monkeypatch.setattr(kubernetes, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setattr(kubernetes.KubernetesTarget, "skypilot", lambda *_: Sky())
    monkeypatch.setattr(Sky, "end_family", lambda self: None, raising=False)
    target = cloud.CloudTarget(tmp_path, "aws", cloud=account, api=api)  # type: ignore[arg-type]
    target.place.shell = NoPods()
    monkeypatch.setattr(target.place.shell, "name", "this cluster", raising=False)
    asked = [MachineRequest(resource_id=f"rl-1/{pool.id}/1", pool=pool, index=0, since=START)]
    sky = target._state(run).sky

    target.apply(run, asked, make=True)
    assert account.sizes == {CPU: 1}
    target.observe(run)
    target.apply(run, asked, make=True)
    (machine,) = target.observe(run).machines
    assert (machine.phase, machine.since) == (InstancePhase.STARTING, START)
    assert sky.asked == {}, "no node has joined"  # type: ignore[attr-defined]

    api.nodes = 1
    target.observe(run)
    target.apply(run, asked, make=True)
    ((key, request),) = sky.asked.items()  # type: ignore[attr-defined]
    task = request.call["task"]["config"]["kubernetes"]
    assert key.startswith("launch cctl-rl-1-")
    assert task["pod_config"]["spec"]["nodeSelector"] == {"clusterctl.dev/pool": CPU}
    assert task["remote_identity"] == "clusterctl-jobs", "which may use the bucket"
    pools, held = target._pools(run), target._nodes(run).book.held
    shown_at, looked = held[asked[0].resource_id].seen, pools._looked
    monkeypatch.setattr(pools, "_clock", lambda: looked + 5.0)
    monkeypatch.setattr(target.place.shell, "now", lambda: START.timestamp() + 65, raising=False)
    target.observe(run)
    late = (held[asked[0].resource_id].seen - shown_at).total_seconds()
    assert abs(late) < 2, "seen when the cloud listed it, not when its listing was read again"
    target.apply(run, [], make=False)
    assert account.sizes == {CPU: 0}, "at the end and at every limit"


def test_from_elsewhere_nothing_of_a_run_is_seen_or_made(plan: Plan, tmp_path: Path) -> None:
    run, account = run_of(plan, tmp_path), FakeCloud()
    target = cloud.CloudTarget(tmp_path, "aws", cloud=account)
    target.apply(run, [], make=False)
    target.fetch(run)
    assert (target.observe(run).machines, target.find(run, "rl-1/x/1"), account.resized) == ((), False, [])


def test_the_way_in_holds_no_credential(tmp_path: Path) -> None:
    config = json.loads(kubeconfig(FLEET))
    login = config["users"][0]["user"]["exec"]
    assert login["args"][-4:] == ["clusterctl.clouds.cluster_token", "aws", "us-east-1", "rl-1"]
    assert config["contexts"][0]["context"]["namespace"] == "clusterctl"
    assert "token" not in config["users"][0]["user"]
    (tmp_path / "fleet.json").write_text("{}")
    with pytest.raises(StateError, match="does not say which cluster"):
        read_fleet(tmp_path / "fleet.json")


def test_a_token_of_eks_is_a_signed_question_who_we_are() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIA7", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    line = [sys.executable, "-P", "-m", "clusterctl.clouds.cluster_token", "aws", "eu-west-1", "rl-1"]
    ended = subprocess.run(line, env=keys, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    status = json.loads(ended.stdout)["status"]
    scheme, _, text = status["token"].rpartition(".")
    url = urlparse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    asked = parse_qs(url.query)
    assert (scheme, url.hostname, asked["Action"]) == (
        "k8s-aws-v1",
        "sts.eu-west-1.amazonaws.com",
        ["GetCallerIdentity"],
    )
    assert "x-k8s-aws-id" in asked["X-Amz-SignedHeaders"][0]
    assert "secret" not in ended.stdout
    none = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
    ended = subprocess.run(line, env=none, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, "aws sso login" in ended.stderr) == (1, True), ended.stderr
