"""Where no agent measures, the scheduler's own accounting is read: into the same tables, with its source, or the reason."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from clusterctl.errors import ClusterctlError
from clusterctl.plan_service import Planner, open_source
from clusterctl.store import open_store
from clusterctl.targets import accounting
from clusterctl.targets.accounting import Accounting, Use
from clusterctl.targets.base import MachineRequest, RunRef
from clusterctl.targets.kubernetes_accounting import pod_use, quantity
from clusterctl.targets.sandbox_meter import SandboxMeter
from clusterctl.targets.shell import Ran, Shell
from clusterctl.targets.slurm_accounting import allocation_use
from clusterctl.targets.slurm_jobs import SlurmJob
from clusterctl.telemetry import sandbox_scraper

START = datetime(2026, 11, 23, tzinfo=UTC)
LISTING = """1.batch|cpu=00:01:00,energy=0,fs/disk=59047,mem=171327488,pages=0|cpu=00:01:00,mem=171327488
2.batch|cpu=00:00:00,energy=0,mem=10846208,pages=0,vmem=292638720|cpu=00:00:00,energy=0,mem=10846208
2.0|cpu=01:00:05,energy=0,mem=6004736,gres/gpuutil=170,gres/gpumem=9|cpu=00:30:02,gres/gpuutil=85,gres/gpumem=4
garbage
"""
"""As sstat of Slurm 22.05 prints it; gpuutil as its manual says: our nodes have none."""
SPEC = """
name: rl
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-1.5B-Instruct, steps: 4, prompts_per_step: 6, samples_per_prompt: 6}
fleet:
  targets: ["slurm:mini"]
  machines:
    - {name: cpu, nodes: 1, vcpus: 8, memory_gib: 32, usd_per_hour: 3.6}
    - {name: gpu, gpu: H100, gpus_per_node: 8, nodes: 1, vcpus: 64, memory_gib: 500, usd_per_hour: 36}
"""


class Says(Shell):
    """A shell that says one thing."""

    name = "mini"

    def __init__(self, text: str, exit_code: int = 0, stderr: str = "") -> None:
        self.ran = Ran(exit_code=exit_code, stdout=text.encode(), stderr=stderr)

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        self.script = script
        return self.ran


def job(number: str, name: str, *nodes: str) -> SlurmJob:
    return SlurmJob(job_id=number, name=name, state="RUNNING", reason="", since=START, until=None, nodes=nodes, tags={})


JOBS = (job("1", "cctl-cpu", "cpu1"), job("2", "cctl-gpu", "gpu1", "gpu2"))


def test_steps_of_an_allocation_are_added_up() -> None:
    found = allocation_use(Says(f"JobAcctGatherType       = jobacct_gather/cgroup\n{LISTING}"), JOBS)
    assert found["cctl-cpu"] == Use(cpu_seconds=60.0, memory_mib=pytest.approx(163.4, abs=0.1))
    assert found["cctl-gpu"] == Use(cpu_seconds=3605.0, memory_mib=pytest.approx(16.07, abs=0.1), gpu_util_pct=85.0)


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        (
            Says("JobAcctGatherType = jobacct_gather/none\n"),
            r"gathers nothing \(JobAcctGatherType is jobacct_gather/none",
        ),
        (Says("JobAcctGatherType = x/cgroup\n", 1, "sstat: error: no"), "does not answer: sstat: error: no"),
    ],
)
def test_what_slurm_does_not_gather_is_said(shell: Says, why: str) -> None:
    with pytest.raises(ClusterctlError, match=why):
        allocation_use(shell, JOBS)


def test_pods_of_an_allocation_are_added_up() -> None:
    usage = [{"usage": {"cpu": "250m", "memory": "64Mi"}}, {"usage": {"cpu": "1500000000n", "memory": "1048576"}}]
    pods = [
        {"metadata": {"labels": {"clusterctl.dev/cluster": "cctl-gpu"}}, "containers": usage},
        {"metadata": {"labels": {"clusterctl.dev/cluster": "another"}}, "containers": usage},
        {"metadata": {}, "containers": usage},
    ]
    labels = json.dumps({"items": pods}).replace("clusterctl.dev/cluster", label())
    assert pod_use(Says(labels), "ns", JOBS) == {"cctl-gpu": Use(cpus=1.75, memory_mib=65.0)}
    assert [quantity(text) for text in ("2", "5k", "1Gi")] == [2.0, 5000.0, 2.0**30]
    for text in ("", "1Xi", "m"):
        with pytest.raises(ValueError, match=r"quantity|float"):
            quantity(text)


def label() -> str:
    from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL

    return CLUSTER_LABEL


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        (Says("", 1, "Error from server (NotFound): the server could not find the requested resource"), "NotFound"),
        (Says("[1]"), "can't be read"),
        (Says('{"items": [{"metadata": {"labels": {"LABEL": "cctl-gpu"}}, "containers": [{}]}]}'), "can't be read"),
    ],
)
def test_a_cluster_without_the_metrics_api_is_named(shell: Says, why: str) -> None:
    shell.ran = Ran(
        exit_code=shell.ran.exit_code,
        stdout=shell.ran.stdout.replace(b"LABEL", label().encode()),
        stderr=shell.ran.stderr,
    )
    with pytest.raises(ClusterctlError, match=why):
        pod_use(shell, "ns", JOBS)


@pytest.fixture
def run(tmp_path: Path) -> RunRef:
    (tmp_path / "run.yaml").write_text(SPEC)
    plan = Planner(now=START).plan(open_source(str(tmp_path / "run.yaml")))
    return RunRef(run_id="rl-1", plan=plan, folder=tmp_path, tags={}, stage="rlcef")


def read(run: RunRef, table: str) -> pl.DataFrame:
    now = datetime.now(tz=UTC)
    with open_store(str(run.folder / "telemetry")) as store:
        return store.read(table, start=now - timedelta(hours=1), end=now + timedelta(hours=1))


def requests(run: RunRef) -> Mapping[str, Sequence[MachineRequest]]:
    pools = {"cctl-gpu" if pool.gpus_per_node else "cctl-cpu": pool for pool in run.plan.pools}
    return {
        name: [MachineRequest(resource_id=f"rl-1/{name}/1", pool=pool, index=0, since=START)]
        for name, pool in pools.items()
    }


def test_it_goes_into_the_same_tables_with_its_source(run: RunRef, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        {"cctl-gpu": Use(cpu_seconds=600.0, memory_mib=100.0, gpu_util_pct=0.0), "cctl-cpu": Use(cpu_seconds=5.0)},
        {"cctl-gpu": Use(cpu_seconds=600.0 + 64 * 60, memory_mib=2048.0, gpu_util_pct=85.0), "cctl-cpu": Use()},
    ]
    now = 0.0
    monkeypatch.setattr(accounting.time, "monotonic", lambda: now)
    kept = Accounting(run, "Slurm's accounting", lambda _: said.pop(0), why="no agent")
    for now in (0.0, 10.0, 60.0):  # noqa: B007 - the clock
        kept.read(JOBS, requests(run))
    assert said == [], "once a minute"
    host = read(run, "host").sort("node")
    assert host.select("node", "seconds", "cpu_pct", "memory_used_mib").rows() == [
        ("cpu1", 60.0, None, None),
        ("gpu1", 60.0, 50.0, 1024),
        ("gpu2", 60.0, 50.0, 1024),
    ]
    gpus = read(run, "gpu")
    assert (gpus.height, set(gpus["gpu_util_pct"]), set(gpus["run"])) == (16, {85}, {"rl-1"})
    assert set(gpus["reason"]) == {None}
    notes = read(run, "notes")
    assert {row["kind"] for row in notes.to_dicts()} == {"source"}
    assert "Slurm's accounting: what the run itself uses, the mean of 2 nodes; no agent" in set(notes["text"])


def test_where_there_is_none_the_reason_is_noted_once(run: RunRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "READ_SECONDS", 0.0)

    def ask(_: object) -> Mapping[str, Use]:
        raise ClusterctlError("Slurm gathers nothing")

    kept = Accounting(run, "Slurm", ask, why="no agent")
    for _ in range(2):
        kept.read(JOBS, requests(run))
    notes = read(run, "notes")
    assert set(notes.select("node", "subject").iter_rows()) == {
        (node, subject) for node in ("cpu1", "gpu1", "gpu2") for subject in ("host", "gpu")
    }
    assert set(notes["text"]) == {"not measured: no agent; Slurm gathers nothing"}
    assert notes.height == 6
    assert read(run, "host").is_empty(), "unknown is not zero"


PAGE = """# TYPE clusterctl_sandbox_requests_total counter
clusterctl_sandbox_requests_total{{result="finished"}} {ended}
clusterctl_sandbox_requests_total{{result="sandbox error"}} 0
# TYPE clusterctl_sandbox_queued gauge
clusterctl_sandbox_queued 3
# TYPE clusterctl_sandbox_request_seconds histogram
clusterctl_sandbox_request_seconds_bucket{{le="0.1"}} {ended}
clusterctl_sandbox_request_seconds_bucket{{le="+Inf"}} {ended}
"""


def test_sandbox_servers_without_an_agent_are_asked_by_the_supervisor(
    run: RunRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def get(url: str, token: str) -> str:
        asked.append((url, token))
        if "b" in url:
            raise OSError("refused")
        return PAGE.format(ended=10 * len(asked))

    for name, value in {"_get": get, "SCRAPE_SECONDS": 0.01, "FIRST_SECONDS": 0.01, "PATIENCE_SECONDS": 0.0}.items():
        monkeypatch.setattr(sandbox_scraper, name, value)
    meter = SandboxMeter(run, "secret")
    for servers in ({"http://a:1": "n1"}, {"http://a:1": "n1", "http://b:1": "n2"}):
        meter.follow(servers)
        before = len(asked)
        while len(asked) < before + 6:
            time.sleep(0.01)
    meter.follow({})
    rows = read(run, "sandbox")
    assert set(rows.select("node", "run", "queued", "errors").iter_rows()) == {("n1", "rl-1", 3, 0)}
    assert rows["finished"].min() >= 10
    assert rows["request_p95_ms"].max() == pytest.approx(95.0)
    assert {token for _, token in asked} == {"secret"}
    assert {row["text"] for row in read(run, "notes").to_dicts()} == {"refused"}
