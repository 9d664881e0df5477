"""A whole run on a real node: its supervisor a Deployment, SkyPilot beside it, a trainer on eight fake H100, sandboxes under gVisor."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from control_plane import wait
from laptop import Laptop, place_of_runs
from pod_record import PodRecord
from real_node import IMAGE, RealNode

from clusterctl.paths import bundle_root

SPEC = r"""
name: kube
objective: cost
stages:
  - kind: rlcef
    model: Qwen/Qwen2.5-Coder-1.5B
    steps: 10
    prompts_per_step: 2
    samples_per_prompt: 2
    job:
      image: localhost/sky:test
      command: |
        echo "rank $CLUSTERCTL_NODE_RANK of $CLUSTERCTL_NODES, $CLUSTERCTL_GPUS_PER_NODE GPUs, sandboxes $CLUSTERCTL_SANDBOXES"
        cat >ask.py <<'PROGRAM'
        import json, os, time, urllib.request
        token = open(os.environ["CLUSTERCTL_SANDBOX_TOKEN_FILE"]).read().strip()
        code = "import os; print(open('/proc/version').read().split()[2], os.path.exists('/var/run/secrets/kubernetes.io'))"
        body = json.dumps({"language": "python", "code": code}).encode()
        headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
        for step in range(1, 11):
            request = urllib.request.Request(os.environ["CLUSTERCTL_SANDBOXES"] + "/run_code", body, headers)
            verdict = json.load(urllib.request.urlopen(request, timeout=60))
            print("verdict:", verdict["run_result"]["stdout"], flush=True)
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            with open(os.environ["CLUSTERCTL_REPORTS"], "a") as reports:
                reports.write(json.dumps({"at": at, "stage": "rlcef", "step": step, "of": 10}) + "\n")
            time.sleep(1)
        PROGRAM
        python3 ask.py
        echo '{}' >"$CLUSTERCTL_RESULT.part" && mv "$CLUSTERCTL_RESULT.part" "$CLUSTERCTL_RESULT"
fleet:
  targets: ["kubernetes:test"]
  nodes: 1
  machines:
    - {name: gpu, gpu: H100, gpus_per_node: 8, vcpus: 3, memory_gib: 64, usd_per_hour: 36}
    - {name: cpu, nodes: 1, vcpus: 3, memory_gib: 6, usd_per_hour: 3.6}
limits: {usd: 40, hours: 8}
"""


@pytest.fixture(scope="module")
def laptop(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    place_of_runs(node)
    return Laptop(node.plane, tmp_path_factory.mktemp("laptop"))


def install_agent(node: RealNode) -> None:
    """As an administrator does, by the chart."""
    chart = bundle_root() / "templates" / "kubernetes" / "chart"
    command = [
        node.plane.programs / "helm",
        "template",
        "agent",
        chart,
        "--namespace",
        "default",
        "--kube-version",
        "1.34.4",
    ]
    command += ["--set", f"image={IMAGE},agent.runtimeClass="]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    node.plane.kubectl("apply", "-f", "-", given=text)


def agent_page(node: RealNode) -> str:
    """What the agent of the node shows to Prometheus."""
    ask = (
        "import urllib.request as u, pathlib as p; t = p.Path('/run/clusterctl/token').read_text().strip();"
        "print(u.urlopen(u.Request('http://127.0.0.1:9400/metrics', headers={'Authorization': f'Bearer {t}'})).read().decode())"
    )
    return node.plane.kubectl("exec", "daemonset/agent", "--", "python3", "-c", ask, check=False)


@pytest.mark.slow  # seven minutes of two busy cores, and an image with SkyPilot in it
def test_a_run_goes_to_its_end_and_leaves_nothing(node: RealNode, laptop: Laptop, tmp_path: Path) -> None:
    began, plane = time.monotonic(), node.plane
    install_agent(node)
    with PodRecord(plane, tmp_path / "pods.json") as record:
        name = laptop.up("run", SPEC)
        over = {"finished", "failed", "stopped"}
        wait(lambda: laptop.row(name)["state"] in over, "it has ended", why=lambda: laptop.why(name), seconds=900)
        found = laptop.row(name)
        assert found["state"] == "finished", laptop.why(name)
        logs = laptop.must("logs", name)
        assert "rank 0 of 1, 8 GPUs, sandboxes http://10.244." in logs
        assert logs.count("4.19.0-gvisor False") == 10  # gVisor's kernel, and no token of a service account
        exported = laptop.must("telemetry", "export", "sandbox", "--format", "json").splitlines()
        measured = [json.loads(line) for line in exported]
        assert {(row["run"], row["node"]) for row in measured} == {(name, node.name)}
        assert 5 <= sum(row["finished"] for row in measured) <= 10  # what it did until it was told to end
        assert all(row["queued"] is not None and row["errors"] == 0 for row in measured)
        assert any(row["request_p95_ms"] for row in measured)
        gone = lambda: f"cctl-{name}" not in plane.kubectl("get", "pods")  # noqa: E731
        wait(gone, "its pods are gone", why=lambda: laptop.why(name))
        paid = sum(
            (until - since).total_seconds() * usd_per_second(pod)
            for pod, (since, until) in record.spans(f"cctl-{name}").items()
        )
        assert paid > 0.1
        assert paid - 0.02 <= float(found["usd"]) <= paid + 0.1, record.spans(f"cctl-{name}")
    assert 'clusterctl_host_cpu_seconds_total{hostname="real0"}' in agent_page(node)
    assert laptop.must("sweep") == "nothing is left over\n"
    left = json.loads(plane.kubectl("get", "deployments,services,secrets,networkpolicies,jobs", "-o", "json"))
    assert [item["metadata"]["name"] for item in left["items"] if name in item["metadata"]["name"]] == [
        f"clusterctl-{name}"
    ]
    print(f"a run on Kubernetes: {time.monotonic() - began:.0f} s, {found['usd']} USD")


@pytest.mark.slow  # two minutes: a supervisor and SkyPilot's server start
def test_an_image_that_can_not_be_pulled_ends_the_run_with_its_name(node: RealNode, laptop: Laptop) -> None:
    spec = SPEC.replace("localhost/sky:test", "registry.invalid/nobody/nothing:1").replace("name: kube", "name: pull")
    name = laptop.up("pull", spec)
    over = {"finished", "failed", "stopped"}
    wait(lambda: laptop.row(name)["state"] in over, "it has ended", why=lambda: laptop.why(name), seconds=600)
    found = laptop.row(name)
    assert found["state"] == "failed", laptop.why(name)
    assert "is refused: " in found["note"]
    assert "registry.invalid/nobody/nothing:1" in found["note"]
    assert laptop.must("events", name).count("registry.invalid") <= 3, "it is not tried again and again"
    gone = lambda: f"cctl-{name}" not in node.plane.kubectl("get", "pods")  # noqa: E731
    wait(gone, "its pods are gone", why=lambda: laptop.why(name))


def usd_per_second(pod: str) -> float:
    """By its name: SkyPilot's own, and one of a Deployment, which has the number of its set; the guard's costs nothing."""
    if pod.endswith("-head"):
        return 0.01
    return 0.001 if re.search(r"-\d+-[0-9a-f]+-[a-z0-9]{5}$", pod) else 0.0
