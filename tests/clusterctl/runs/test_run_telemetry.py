"""A run on this machine is measured: an agent beside sandbox and trainer, and none is left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from run_world import SPEC, opened, stand_in_jobs, watch

from clusterctl.costs.load import read_charges
from clusterctl.jobs import Job
from clusterctl.jobs.quickstart import quickstart_jobs
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs.metrics import RunMetrics, run_metrics
from clusterctl.runs.run import OpenRun
from clusterctl.store import open_store
from clusterctl.targets import local
from clusterctl.targets.processes import tagged
from clusterctl.telemetry.exposition import parse, samples
from clusterctl.telemetry.settings import AgentSettings

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SMALL = """
name: small
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 20, prompts_per_step: 2, samples_per_prompt: 2,
     sandbox: {cpus: 1, memory_gib: 0.25, seconds: {mean: 0.1, p95: 0.3}}}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 3.6}]}
"""


def test_a_run_is_measured_from_its_start_to_its_end(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    run = opened(tmp_path, ledger, SMALL)
    watch(run)
    assert ledger.get_run(run.run_id).state == "finished"
    assert list(tagged(tmp_path)) == []
    span = {"start": datetime.now(tz=UTC) - timedelta(hours=1), "end": datetime.now(tz=UTC) + timedelta(minutes=1)}
    with open_store(str(tmp_path / "telemetry")) as store:
        host, sandbox = store.read("host", **span), store.read("sandbox", **span)
        notes = store.read("notes", **span)
        assert store.problems() == ()
    assert 0 < host["seconds"].sum() < 240
    assert set(host["node"]) == set(read_charges(ledger)["node"]), "its money and its use are of the same machine"
    assert set(sandbox["run"]) == {run.run_id}
    assert sandbox["finished"].sum() > 0
    assert set(notes.filter(kind="error")["subject"]) == set()
    assert "clusterctl_run_cost_dollars" in parse(run.folder.metrics.read_text("utf-8"))


def test_a_run_goes_on_without_an_agent_that_cannot_start(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_jobs(monkeypatch, seconds=0.3)
    jobs = local.quickstart_jobs
    broken = {"telemetry": Job(command=("false",))}
    monkeypatch.setattr(local, "quickstart_jobs", lambda *plan, **how: {**jobs(*plan, **how), **broken})
    run = opened(tmp_path, ledger)
    watch(run)
    assert ledger.get_run(run.run_id).state == "finished"


def test_without_the_extra_there_is_no_agent(run: OpenRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    monkeypatch.setattr("clusterctl.jobs.quickstart.installed", lambda: False)
    assert set(quickstart_jobs(run.plan, run.folder.path, store=tmp_path, port=None)) == {"sandbox", "trainer"}
    monkeypatch.setattr("clusterctl.jobs.quickstart.installed", lambda: True)
    monkeypatch.setenv("CLUSTERCTL_TELEMETRY", "prometheus+http://127.0.0.1:9090")
    jobs = quickstart_jobs(run.plan, run.folder.path, store=tmp_path, port="9999")
    assert jobs["trainer"].environment["CLUSTERCTL_PHASES"].endswith(".sock")
    settings = AgentSettings.parse(jobs["telemetry"].command[-1])
    assert (settings.store, settings.metrics_files) == ("off", (str(run.folder.metrics),))


def test_cost_price_and_plan_are_told_to_prometheus(run: OpenRun) -> None:
    watch(run)
    families = run_metrics(run, NOW + timedelta(days=2))
    ((labels, dollars),) = samples(families, "clusterctl_run_cost_dollars_total")
    bill = run.ledger.bill(run.run_id)
    assert (labels, dollars) == ({"run": run.run_id}, float(bill.usd or 0))
    ((labels, price),) = samples(families, "clusterctl_node_price_dollars_per_hour")
    assert (labels["instance_type"], price) == ("here", 3.6)
    ratios = {labels["phase"]: ratio for labels, ratio in samples(families, "clusterctl_plan_ratio")}
    planned = {phase.name: phase.seconds for stage in run.plan.stages for phase in stage.phases}
    assert ratios == {"generate": pytest.approx(0.1 / planned["generate"])}


def test_what_is_unknown_has_no_sample(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_jobs(monkeypatch)
    run = opened(tmp_path, ledger, SPEC.replace(", usd_per_hour: 3.6", ""))
    watch(run)
    families = run_metrics(run, NOW)
    assert {"clusterctl_run_cost_dollars", "clusterctl_node_price_dollars_per_hour"}.isdisjoint(families)


def test_a_folder_in_place_of_the_file_of_metrics_ends_no_run(run: OpenRun) -> None:
    run.folder.metrics.mkdir(parents=True)
    RunMetrics(run).update()
    assert list(run.folder.path.glob("metrics.prom*")) == [run.folder.metrics]
