"""What `clusterctl sandbox bench` measures, what it finds left behind, and what plans make of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterctl.sandbox import bench, leftovers
from clusterctl.sandbox.isolation import Isolation
from clusterctl.sandbox.leftovers import left_by
from clusterctl.sandbox.start_profile import SandboxProfile, this_machine, write_profile
from clusterctl.sandbox.verdict import PhaseResult, Status, Verdict

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def assumed(in_process: Run, repo: Path, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """What a plan assumes of sandbox starts: field → "value: source"."""

    def planned(template: str = "quickstart") -> dict[str, str]:
        done = in_process("plan", str(repo / "templates" / "specs" / f"{template}.yaml"), "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["assumptions"]
        return {
            row["name"].rpartition(".")[2]: f"{row['value']}: {row['source']}"
            for row in rows
            if ".start" in row["name"]
        }

    return planned


def test_the_measurement_is_what_plans_for_this_machine_reckon_with(
    in_process: Run, assumed: Callable[..., dict[str, str]]
) -> None:
    before = assumed()
    assert "not measured here, `clusterctl sandbox bench` does it" in before["start_seconds"]
    done = in_process("sandbox", "bench", "--seconds", "0.2", "--concurrency", "2", "--runs", "20", "--json")
    report = json.loads(done.stdout)
    assert set(report["left"].values()) == {0}
    assert {(one["by"], one["program"]) for one in report["speeds"]} >= {
        ("sandbox", program) for program in bench.PROGRAMS
    }
    for one in report["speeds"]:
        assert 0 < one["p50_seconds"] <= one["p95_seconds"] <= one["p99_seconds"]
    measured = report["profile"]
    today = datetime.now(tz=UTC).date()
    assert assumed() == {
        "start_seconds": f"{measured['start_seconds']['mean']:g} s (p95 {measured['start_seconds']['p95']:g} s): measured here on {today}, {report['isolation']}",
        "starts_per_second_per_node": f"{measured['starts_per_second_per_node']:g}: measured here on {today}, {report['isolation']}",
    }
    assert "measured here" not in str(assumed("rlcef")), "the clouds' machines are others"


def test_a_measurement_of_another_machine_is_not_believed(
    assumed: Callable[..., dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path / ".local" / "share" / "clusterctl"))
    measured = {"measured_on": "2026-01-02", "machine": "64 × Cray", "isolation": "bubblewrap"}
    write_profile(SandboxProfile(**measured, start_seconds={"mean": 0.001}, starts_per_second_per_node=9e4))
    assert "measured on 64 × Cray only" in assumed()["start_seconds"]
    assert "0.001" not in assumed()["start_seconds"]
    write_profile(
        SandboxProfile(
            **measured | {"machine": this_machine()}, start_seconds={"mean": 0.001}, starts_per_second_per_node=9e4
        )
    )
    assert "measured here on 2026-01-02" in assumed()["start_seconds"]


def test_a_damaged_measurement_is_one_message(in_process: Run, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "sandbox-profile.json").write_text("{", encoding="utf-8")
    done = in_process("plan", str(repo / "templates/specs/quickstart.yaml"), CLUSTERCTL_HOME=str(tmp_path))
    assert done.returncode == 5
    assert "`clusterctl sandbox bench` writes it again" in done.stderr


def test_nothing_is_left_behind(isolation: Isolation) -> None:
    assert left_by(60, isolation, concurrency=4) == {
        "processes": 0,
        "mounts": 0,
        "folders": 0,
        "cgroups": 0,
        "descriptors": 0,
    }


def test_what_is_left_behind_is_found(isolation: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    processes, descriptors = list[subprocess.Popen[bytes]](), list[int]()
    phase = PhaseResult(
        status=Status.FINISHED,
        exit_code=0,
        stdout=b"",
        stderr=b"",
        start_seconds=0,
        wall_seconds=0,
        cpu_seconds=0,
        peak_memory_mib=0,
        files={},
    )

    def leaky(*_: object, **__: object) -> Verdict:
        processes.append(subprocess.Popen(["sleep", "60"]))
        descriptors.append(os.memfd_create("left"))
        return Verdict(status=Status.FINISHED, run=phase, isolation="leaky")

    monkeypatch.setattr(leftovers, "run_program", leaky)
    try:
        left = left_by(3, isolation, concurrency=1)
        assert (left["processes"], left["descriptors"]) == (3, 3)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for descriptor in descriptors:
            os.close(descriptor)
