"""A run on "aws" whose cluster is real: Pulumi makes the fleet in the cloud that is a file, and equips a real control plane, which
stands in for EKS; the supervisor's pod asks for nodes by boto3; a node joins for each machine; the job runs there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from control_plane import ControlPlane, wait
from laptop import volume
from real_node import ADDRESS, IMAGE, SERVICES, RealNode

ENGINES = Path(__file__).parents[1]
sys.path[:0] = [str(ENGINES), str(ENGINES / "pulumi")]

from eks_facade import EksFacade, serving  # noqa: E402 - found by the path above
from fleet import FakeFleet, build_engine, make_plan  # noqa: E402
from test_cloud_run import STANDING  # noqa: E402

from clusterctl.ledger import open_ledger  # noqa: E402

SPEC = r"""
name: cloudy
stages:
  - kind: sft
    model: Qwen/Qwen2.5-Coder-1.5B
    samples: 1000
    sample_tokens: {mean: 400}
    seq_len: 1024
    global_batch_samples: 100
    job:
      image: localhost/sky:test
      command: |
        echo "rank $CLUSTERCTL_NODE_RANK of $CLUSTERCTL_NODES, $CLUSTERCTL_GPUS_PER_NODE GPUs"
        for step in 1 2 3 4 5 6 7 8 9 10; do
          at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
          echo "{\"at\": \"$at\", \"stage\": \"sft\", \"step\": $step, \"of\": 10}" >>"$CLUSTERCTL_REPORTS"
          sleep 1
        done
        echo '{}' >"$CLUSTERCTL_RESULT.part" && mv "$CLUSTERCTL_RESULT.part" "$CLUSTERCTL_RESULT"
fleet: {targets: [aws], regions: [us-east-1], gpus: [H100], nodes: 1}
limits: {usd: 500, hours: 8}
"""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDANN",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
WEBHOOK = {"apiVersion": "v1", "kind": "Config", "current-context": "sts", "users": [{"name": "api", "user": {}}]}


@contextmanager
def sts_logins(folder: Path) -> Iterator[Path]:
    """The API server's way to ask who a token of EKS is: it holds a signed question to STS.  Only Ann is known."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kind, _, text = str(review["spec"].get("token")).rpartition(".")
            asked: dict[str, list[str]] = {}
            if kind == "k8s-aws-v1":
                asked = parse_qs(urlparse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()).query)
            known = asked.get("Action") == ["GetCallerIdentity"] and asked["X-Amz-Credential"][0].startswith("AKIDANN/")
            review["status"] = {"authenticated": known}
            if known:
                review["status"]["user"] = {"username": "ann", "groups": ["system:masters"]}
            content = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clusters = [{"name": "sts", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}]
    contexts = [{"name": "sts", "context": {"cluster": "sts", "user": "api"}}]
    file = folder / "webhook.json"
    file.write_text(json.dumps({**WEBHOOK, "clusters": clusters, "contexts": contexts}))
    try:
        yield file
    finally:
        server.shutdown()
        server.server_close()


class Joining:
    """A node group of one: its machine joins the cluster as a real node, and leaves it."""

    def __init__(self, plane: ControlPlane, layers: Path) -> None:
        self._plane, self._layers, self._lock = plane, layers, threading.Lock()
        self.facade: EksFacade | None = None
        self._node: RealNode | None = None

    def changed(self, group: str, nodes: int) -> None:
        """A machine boots for minutes; nobody waits for it."""
        threading.Thread(target=self._follow, args=(group, nodes), daemon=True).start()

    def _follow(self, group: str, nodes: int) -> None:
        held = self.facade.group(group) if self.facade is not None else None
        assert held is not None
        with self._lock:
            if nodes and self._node is None:
                self._node = RealNode(self._plane, self._layers, 1, cpus=192, memory="2048Gi").__enter__()
                self._node.load_sky()
                for taint in held.properties.get("taints", ()):
                    effect = {"NO_SCHEDULE": "NoSchedule"}[taint["effect"]]
                    self._plane.kubectl("taint", "node", "real1", f"{taint['key']}={taint.get('value', '')}:{effect}")
                labels = [f"{name}={value}" for name, value in held.properties["labels"].items()]
                self._plane.kubectl("label", "--overwrite", "node", "real1", *labels)
            elif not nodes and self._node is not None:
                self.end()

    def end(self) -> None:
        if self._node is not None:
            self._node.lose()
            self._plane.kubectl("delete", "node", "real1", check=False)
        self._node = None


@pytest.mark.slow  # several minutes: a fleet, two nodes, a supervisor with SkyPilot beside it
@pytest.mark.usefixtures("bridge")
def test_jobs_of_a_run_on_aws_start_and_end_in_its_cluster(
    programs: Path, layers: Path, tmp_path: Path, in_process: Callable[..., Any], moto_url: str
) -> None:
    provider = subprocess.run(
        ["sh", ENGINES / "pulumi" / "build_kubernetes.sh"], capture_output=True, text=True, check=True
    ).stdout.strip()
    fleet = FakeFleet(tmp_path, build_engine(), make_plan(tmp_path, in_process, "aws"))
    (fleet.folder / "plugins" / "pulumi-resource-kubernetes").unlink()
    with sts_logins(tmp_path) as logins:
        flags = (f"--authentication-token-webhook-config-file={logins}", "--authentication-token-webhook-version=v1")
        with (
            ControlPlane(tmp_path, programs, SERVICES, 443, ADDRESS, flags=flags) as plane,
            RealNode(plane, layers) as system,
        ):
            joining = Joining(plane, layers)
            joining.facade = facade = EksFacade(fleet.cloud, joining.changed)
            with serving(facade, ADDRESS) as url:
                here = {**CREDENTIALS, "AWS_ENDPOINT_URL": url}
                system.load_clusterctl(*(f"{name}={value}" for name, value in here.items()))
                try:
                    up_to_down(Laptop(fleet, plane, provider, moto_url), facade, system)
                finally:
                    joining.end()


class Laptop:
    """Who has the credentials of the account, and Pulumi."""

    def __init__(self, fleet: FakeFleet, plane: ControlPlane, provider: str, account: str) -> None:
        self.fleet, self.plane = fleet, plane
        authority = base64.b64encode((plane.pki / "ca.crt").read_bytes()).decode()
        self._environment = {
            **os.environ,
            **fleet.environment,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": account,
            "CLUSTERCTL_HOME": str(fleet.folder / "store"),
            "CLUSTERCTL_IMAGE": IMAGE,
            "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
            "FAKE_CLOUD_ENDPOINT": f"https://{plane.address}:{plane.port}",
            "FAKE_CLOUD_AUTHORITY": authority,
            "HOME": str(fleet.folder),
            "PATH": f"{plane.programs}:{provider}:{fleet.environment['PATH']}",
            "no_proxy": f"127.0.0.1,{ADDRESS},{SERVICES}",
        }

    def must(self, *words: str) -> str:
        """What a command prints."""
        line = [Path(sys.executable).with_name("clusterctl"), *words]
        ended = subprocess.run(
            line, cwd=self.fleet.folder, env=self._environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def why(self, name: str) -> str:
        """For who looks into a failure."""
        pods = self.plane.kubectl("get", "pods,nodes", "-A", "-o", "wide", check=False)
        return f"{self.must('status', name)}\n{pods}\n{self.must('events', name)}"


def up_to_down(laptop: Laptop, facade: EksFacade, system: RealNode) -> None:
    """The whole life of a run."""
    began, fleet = time.monotonic(), laptop.fleet
    (fleet.folder / "run.yaml").write_text(SPEC)
    allowed = ("--allow-unknown-price", "--allow-over-limit")
    asked = json.loads(laptop.must("up", "run.yaml", "--dry-run", "--json", *allowed).splitlines()[0])
    pools = {pool["instance_type"]: pool["usd_per_node_hour"] for pool in asked["pools"]}
    fleet.cloud.set(prices=pools | STANDING["aws"])
    name = asked["run"]
    space = f"clusterctl-{name}"
    (shared := system.folder / "volume").mkdir()
    disk = volume(shared)
    disk["spec"] |= {"storageClassName": space, "claimRef": {"name": "clusterctl", "namespace": space}}
    system.plane.place().apply([disk])

    laptop.must("up", "run.yaml", "--yes", "--detach", *allowed)
    made = time.monotonic()
    state = lambda: json.loads(laptop.must("status", name, "--json"))[0]["state"]  # noqa: E731
    over = {"finished", "failed", "stopped"}
    wait(lambda: state() in over, "it has ended", why=lambda: laptop.why(name), seconds=900)
    assert state() == "finished", laptop.why(name)
    (pool,) = asked["pools"]
    assert f"rank 0 of 1, {pool['gpus_per_node']} GPUs" in laptop.must("logs", name)
    wait(lambda: all(each["until"] for each in facade.machines.values()), "its machines are given back", seconds=120)
    assert len(facade.machines) == 1
    worked = time.monotonic()

    assert "nothing left running" in laptop.must("down", name, "--yes")
    assert fleet.cloud.held() == []
    assert space not in system.plane.kubectl("get", "namespaces")
    with open_ledger(str(fleet.folder / "store" / "ledger.db")) as ledger:
        billed = Decimal(ledger.bill(name).known_usd)
    metered = fleet.cloud.metered_usd()
    print(
        f"a run on aws: cluster {made - began:.0f} s, work {worked - made:.0f} s, down {time.monotonic() - worked:.0f} s;"
        f" billed {billed}, metered {metered}"
    )
    assert billed == pytest.approx(metered, abs=Decimal("0.01"))
