"""A run whose supervisor lives in the place: laptops come and go, sleep, are lost, and are two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from far_world import SPEC, USD_PER_NODE_SECOND, Far, Run, far_place, seen, started, until

from clusterctl.errors import ClusterctlError


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    (tmp_path / "run.yaml").write_text(SPEC)
    with far_place(tmp_path) as place:
        yield place


def test_a_run_ends_at_its_limit_although_its_laptop_is_lost(in_process: Run, far: Far, tmp_path: Path) -> None:
    name = started(in_process, far.laptop(tmp_path / "a"), "--limit-usd", "0.08", "--allow-over-limit")
    until(far.supervisors)
    shutil.rmtree(tmp_path / "a")  # process, ledger and network: gone
    until(lambda: not far.supervisors() and not far.scripts())

    b = far.laptop(tmp_path / "b")
    row = seen(in_process, b, name)
    assert (row["state"], row["live"]) == ("stopped", [])
    assert "limit" in row["note"]
    lived = sum(Decimal(str(round(ended - began, 6))) for began, ended in far.nodes(name).values() if ended is not None)
    assert len(far.nodes(name)) == 3
    assert Decimal(row["usd"]) == pytest.approx(lived * USD_PER_NODE_SECOND, abs=Decimal("0.000003"))
    assert 0.08 <= float(row["usd"]) < 0.4
    assert in_process("sweep", CLUSTERCTL_HOME=str(b)).stdout == "nothing is left over\n"
    logs = in_process("logs", name, CLUSTERCTL_HOME=str(b))
    assert logs.returncode == 0

    far.behave(step_seconds=0.005, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    up = in_process("up", "run.yaml", "--yes", "--limit-usd", "50", CLUSTERCTL_HOME=str(b))
    assert (up.returncode, "resumes" in up.stdout, "has finished" in up.stdout) == (0, True, True), up.stderr
    row = seen(in_process, b, name)
    assert (row["state"], row["step"], row["limit_usd"]) == ("finished", 400, "50.0")
    assert "step 400/400" in in_process("logs", name, CLUSTERCTL_HOME=str(b)).stdout, "kept after the end"


def test_one_writer_and_two_laptops_whatever_is_killed(in_process: Run, far: Far, tmp_path: Path) -> None:
    a, b = far.laptop(tmp_path / "a"), far.laptop(tmp_path / "b")
    name = started(in_process, a)
    assert started(in_process, b) == name, "the same plan: the run is taken up"
    until(lambda: seen(in_process, b, name)["step"] > 0)
    assert len(far.supervisors()) == 1

    far.laptop(a, unreachable="the network is cut")
    row = seen(in_process, a, name)
    assert row["state"] in {"wanted", "running"}
    assert any("out of reach since" in problem["what"] for problem in row["problems"])
    for command in (("down", name, "--yes"), ("up", name, "--yes"), ("up", "run.yaml", "--yes")):
        done = in_process(*command, CLUSTERCTL_HOME=str(a))
        assert (done.returncode, "the network is cut" in done.stderr) == (1, True), done.stderr
    far.laptop(a)
    assert not [p for p in seen(in_process, a, name)["problems"] if "reach" in p["what"]], "nothing was lost"

    control = far.root / "runs" / name / "control.json"
    control.write_bytes(b"\xff{]" * 100)
    far.kill(*far.scripts())
    far.kill(*far.supervisors())
    shutil.rmtree(far.root / "node")  # another node, or the disk of this one is lost
    before = seen(in_process, b, name)["step"]
    until(lambda: seen(in_process, b, name)["step"] > before)
    events = json.loads(in_process("events", name, "--json", CLUSTERCTL_HOME=str(b)).stdout)
    launched = [event["message"] for event in events if event["kind"] == "launch"]
    assert len(launched) == 4, "three sandboxes and a trainer: the new supervisor has taken them over"
    assert any("control.json holds no wish" in event["message"] for event in events)

    down = in_process("down", name, "--yes", CLUSTERCTL_HOME=str(a))
    assert (down.returncode, "nothing left running" in down.stdout) == (0, True), down.stderr
    assert json.loads((far.root / "runs" / name / "acknowledged").read_text())["seq"] == 1
    until(lambda: not far.supervisors() and not far.scripts())
    bills = {json.loads(in_process("cost", name, "--json", CLUSTERCTL_HOME=str(x)).stdout)["usd"] for x in (a, b)}
    assert len(bills) == 1, "both say the same"
    assert seen(in_process, b, name)["state"] == "stopped"


def never_runs(*_: object) -> str:
    """A supervisor that stays in the queue."""
    return "its job"


def no_python(*_: object) -> str:
    """A place that lost what supervisors need."""
    raise ClusterctlError("`/gone/python` is no Python for clusterctl")


@pytest.mark.parametrize("start", [never_runs, no_python])
def test_a_run_that_has_ended_without_its_supervisor(
    in_process: Run, far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., str]
) -> None:
    monkeypatch.setattr("clusterctl.runs.ending.ANSWER_SECONDS", 0.5)
    a, b = far.laptop(tmp_path / "a"), far.laptop(tmp_path / "b")
    name = started(in_process, a)
    until(lambda: seen(in_process, a, name)["state"] == "running")
    far.kill(*far.scripts())
    far.kill(*far.supervisors())
    monkeypatch.setattr("clusterctl.targets.remote_home.RemoteHome.start", start)
    down = in_process("down", name, "--yes", CLUSTERCTL_HOME=str(a))
    assert (down.returncode, "without its supervisor" in down.stdout) == (0, True), down.stderr
    now = time.time()
    assert all(ended is not None and ended <= now for _, ended in far.nodes(name).values())
    assert "without its supervisor" in seen(in_process, b, name)["note"], "the other laptop is told"


def test_a_supervisor_that_cannot_write_its_ledger_to_others_is_left_alone(
    in_process: Run, far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = far.laptop(tmp_path / "a")
    name = started(in_process, a)
    folder = far.root / "runs" / name
    until((folder / "reports.jsonl").exists)
    old = (folder / "ledger.db").read_bytes()
    far.kill(*far.scripts())
    (supervisor,) = far.supervisors()
    os.kill(supervisor, signal.SIGSTOP)
    (folder / "ledger.db").write_bytes(old)
    monkeypatch.setattr("clusterctl.targets.remote_home.RemoteHome.hung_seconds", 1.0)
    time.sleep(1.5)
    os.utime(folder / "lease", (time.time() + 30,) * 2)
    assert not any("gave no sign" in problem["what"] for problem in seen(in_process, a, name)["problems"])
    assert far.supervisors() == [supervisor], "its lease is new, though its ledger is old"
    os.utime(folder / "lease", (time.time() - 30,) * 2)
    seen(in_process, a, name)
    assert supervisor not in far.supervisors(), "it hangs: it is ended, and another started"


def test_a_run_whose_ledger_is_lost_in_its_place_goes_on_with_that_of_a_laptop(
    in_process: Run, far: Far, tmp_path: Path
) -> None:
    a = far.laptop(tmp_path / "a")
    name = started(in_process, a)
    until(lambda: seen(in_process, a, name)["step"] > 0)
    far.kill(*far.scripts())
    far.kill(*far.supervisors())
    shutil.rmtree(far.root / "node")
    for mirror in (far.root / "runs" / name).glob("ledger*"):
        mirror.write_bytes(mirror.read_bytes()[:5000])
    before = in_process("status", name, "--json", CLUSTERCTL_HOME=str(a))
    assert before.returncode == 0, before.stderr
    until(lambda: seen(in_process, a, name)["step"] > json.loads(before.stdout)[0]["step"])
    events = json.loads(in_process("events", name, "--json", CLUSTERCTL_HOME=str(a)).stdout)
    assert len([event for event in events if event["kind"] == "launch"]) == 4, "nothing was launched twice"
