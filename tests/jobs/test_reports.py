"""What jobs tell their run: reports that the run's reader takes, phases, and reports out of frameworks' own logs."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import clusterctl_follow
import clusterctl_reports
import pytest

from clusterctl.runs.job_reports import StepReport, read_report


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLUSTERCTL_REPORTS", str(tmp_path / "reports.jsonl"))
    monkeypatch.setenv("CLUSTERCTL_RESULT", str(tmp_path / "result.json"))
    monkeypatch.setenv("CLUSTERCTL_STAGE", "rlcef")
    return tmp_path / "reports.jsonl"


def test_a_report_is_a_line_that_the_run_reads_whatever_the_metrics_are(reports: Path) -> None:
    reports.write_text('{"torn', encoding="utf-8")
    metrics = {"reward": 0.5, "loss": float("nan"), "text": "x", "none": None}
    clusterctl_reports.report(3, 10, {"generate": 1.5}, metrics)
    torn, line = reports.read_bytes().splitlines()
    read = read_report(line)
    assert torn == b'{"torn'
    assert isinstance(read, StepReport)
    assert (read.step, read.of, read.stage, read.phases, read.metrics) == (
        3,
        10,
        "rlcef",
        {"generate": 1.5},
        {"reward": 0.5},
    )


def test_without_a_run_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLUSTERCTL_REPORTS", raising=False)
    monkeypatch.delenv("CLUSTERCTL_RESULT", raising=False)
    monkeypatch.chdir(tmp_path)
    clusterctl_reports.report(1, 1)
    clusterctl_reports.done(steps=1)
    clusterctl_reports.phase("train")
    assert list(tmp_path.iterdir()) == []


def test_phases_are_timed_and_told_to_the_nodes_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_PHASES", str(tmp_path / "s"))
    monkeypatch.setenv("CLUSTERCTL_RUN", "run-1")
    monkeypatch.setenv("CLUSTERCTL_ROLE", "trainer")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
        agent.bind(str(tmp_path / "s"))
        timer = clusterctl_reports.Phases()
        timer.enter("weight sync")
        timer.enter("train")
        assert agent.recv(100) == b"weight_sync run-1 trainer"
    assert set(timer.take()) == {"weight sync", "train"}
    assert set(timer.take()) == {"train"}


def follow(log: Path, script: str) -> int:
    program = f"import json\nfrom pathlib import Path\nlog = Path({str(log)!r})\n{script}"
    return clusterctl_follow.main(["verl", str(log), "2", "--", sys.executable, "-c", program])


VERL = """
row = {"timing_s/gen": 4.0, "timing_s/update_actor": 2.0, "critic/score/mean": 0.25, "response_length/mean": 90, "x": None}
with log.open("w") as file:
    file.write("not json\\n")
    for step in (1, 2): file.write(json.dumps({"step": step, "data": row}) + "\\n")
    file.write('{"step": 3, "da')
"""


def test_verls_own_log_becomes_reports_and_a_result(reports: Path, tmp_path: Path) -> None:
    assert follow(tmp_path / "verl.jsonl", VERL) == 0
    first, second = (json.loads(line) for line in reports.read_text("utf-8").splitlines())
    assert (first["step"], second["step"], second["of"]) == (1, 2, 2)
    assert first["phases"] == {"generate": 4.0, "train": 2.0}
    assert first["metrics"] == {"reward": 0.25, "response_tokens": 90.0}
    assert json.loads((tmp_path / "result.json").read_text("utf-8")) == {"stage": "rlcef", "steps": 2}


def test_a_trainer_that_fails_keeps_its_exit_code_and_has_no_result(reports: Path, tmp_path: Path) -> None:
    assert follow(tmp_path / "verl.jsonl", "raise SystemExit(3)") == 3
    assert not (tmp_path / "result.json").exists()
    assert follow(tmp_path / "verl.jsonl", "import os; os.kill(os.getpid(), 9)") == 137
