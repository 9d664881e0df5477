"""`clusterctl alerts` as a person, a script and a supervisor call it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from clusterctl.errors import ClusterctlError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Run
from clusterctl.runs import alert_process
from clusterctl.runs.alert_process import ALERTS_LOCK, COMMAND, LOOK_SECONDS, RULES_FILE, AlertProcess

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def fail_a_run(home: Path) -> None:
    now = datetime.now(tz=UTC)
    with open_ledger(str(home / "ledger.db")) as ledger:
        ledger.add_run(Run(run_id="sft-1", name="sft", target="fake", created_at=now - timedelta(hours=1)))
        ledger.set_state("sft-1", "failed", note="failed: out of memory \x1b[2J")


def write_rules(home: Path, text: str) -> None:
    (home / RULES_FILE).write_text(text, encoding="utf-8")


def test_nothing_is_open(in_process: Command, home: Path) -> None:
    shown = in_process("alerts", CLUSTERCTL_HOME=str(home))
    assert (shown.returncode, shown.stdout) == (0, "No open alerts\n")
    as_json = in_process("alerts", "--json", CLUSTERCTL_HOME=str(home))
    assert json.loads(as_json.stdout) == {"alerts": [], "unknown": []}


def test_an_open_alert_is_shown_and_is_exit_code_10(in_process: Command, home: Path) -> None:
    fail_a_run(home)
    shown = in_process("alerts", CLUSTERCTL_HOME=str(home))
    assert shown.returncode == 10
    assert "has failed: out of memory ␛[2J" in " ".join(shown.stdout.split())
    assert "clusterctl status sft-1" in shown.stdout
    assert shown.stderr.startswith("alerts: 1 alert open")
    (alert,) = json.loads(in_process("alerts", "--json", CLUSTERCTL_HOME=str(home)).stdout)["alerts"]
    assert (alert["rule"], alert["level"], alert["about"]) == ("failed", "bad", "sft-1")
    write_rules(home, "rules: {failed: info}")
    assert in_process("alerts", CLUSTERCTL_HOME=str(home)).returncode == 0
    write_rules(home, "rules: {failed: off}")
    assert in_process("alerts", CLUSTERCTL_HOME=str(home)).stdout == "No open alerts\n"


def test_what_can_not_be_read_is_said_and_is_exit_code_8(in_process: Command, home: Path) -> None:
    nobody = "prometheus+http://127.0.0.1:9"
    shown = in_process("alerts", CLUSTERCTL_HOME=str(home), CLUSTERCTL_TELEMETRY=nobody)
    assert shown.returncode == 8
    assert "warning: telemetry: " in shown.stderr
    assert json.loads(in_process("alerts", "--json", CLUSTERCTL_HOME=str(home), CLUSTERCTL_TELEMETRY=nobody).stdout)[
        "unknown"
    ]


def test_rules_are_checked_with_their_secrets(in_process: Command, home: Path) -> None:
    write_rules(home, "receivers: {ops: {kind: slack, url_env: HOOK}}")
    missing = in_process("alerts", "--check-rules", CLUSTERCTL_HOME=str(home))
    assert missing.returncode == 2
    assert "receivers.ops: the variable HOOK is not set" in missing.stderr
    checked = in_process("alerts", "--check-rules", CLUSTERCTL_HOME=str(home), HOOK="https://hooks/very-secret")
    assert checked.stdout == f"{home / RULES_FILE}: ops is told of 12 rules\n"
    write_rules(home, "rules: {failed: {level: worst}}")
    wrong = in_process("alerts", "--check-rules", CLUSTERCTL_HOME=str(home))
    assert wrong.stderr.startswith(f"error: {home / RULES_FILE}:1:25: rules.failed.level is 'worst'")
    assert "properties" in json.loads(in_process("alerts", "--schema").stdout)


def test_a_test_message_is_sent_or_says_why_not(in_process: Command, home: Path) -> None:
    write_rules(home, f"receivers: {{ops: {{kind: command, run: [sh, -c, 'cat > {home}/got']}}}}")
    assert in_process("alerts", "--test", "ops", CLUSTERCTL_HOME=str(home)).stdout == "ops: delivered\n"
    assert json.loads((home / "got").read_text())["test"] is True
    unknown = in_process("alerts", "--test", "opz", CLUSTERCTL_HOME=str(home))
    assert (unknown.returncode, unknown.stderr.splitlines()[0]) == (
        2,
        "error: there is no receiver `opz`; did you mean ops?",
    )
    write_rules(home, "receivers: {ops: {kind: command, run: [sh, -c, 'echo no line >&2; exit 4']}}")
    failed = in_process("alerts", "--test", "ops", CLUSTERCTL_HOME=str(home))
    assert failed.returncode == 1
    assert "ops: not delivered: sh ended with code 4: no line" in failed.stderr


def test_receivers_are_told_once_over_restarts(in_process: Command, home: Path) -> None:
    """--while-runs-live ends, as no run is live."""
    fail_a_run(home)
    receiver = f"ops: {{kind: command, run: [sh, -c, 'cat >> {home}/got']}}"
    write_rules(home, f"every_minutes: 0.001\nreceivers: {{{receiver}}}")
    for _ in range(2):
        watched = in_process("alerts", "--watch", "--while-runs-live", CLUSTERCTL_HOME=str(home))
        assert (watched.returncode, watched.stderr) == (0, "")
    told = [json.loads(line)["text"] for line in (home / "got").read_text().splitlines()]
    assert told == ["bad: sft-1: has failed: out of memory ␛[2J"]


def test_one_process_watches_and_it_needs_a_receiver(in_process: Command, home: Path) -> None:
    nobody = in_process("alerts", "--watch", CLUSTERCTL_HOME=str(home))
    assert nobody.returncode == 2
    assert "states no receiver" in nobody.stderr
    write_rules(home, "receivers: {ops: {kind: command, run: ['true']}}")
    with FileLock(home / ALERTS_LOCK):
        second = in_process("alerts", "--watch", CLUSTERCTL_HOME=str(home))
    assert second.returncode == 5
    assert "another `clusterctl alerts --watch` tells of alerts already" in second.stderr


class Started:
    """What a supervisor starts, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[tuple[list[str], dict[str, str]]] = []
        self.seconds = 0.0
        monkeypatch.setattr(alert_process.processes, "spawn", self.spawn)
        monkeypatch.setattr(alert_process.time, "monotonic", lambda: self.seconds)

    def spawn(self, command: list[str], *, environment: dict[str, str], **_: object) -> str:
        self.commands.append((command, environment))
        return "1:1"


def test_a_supervisor_starts_one_where_there_are_rules(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("HOOK", "https://hooks/very-secret")
    started, process = Started(monkeypatch), AlertProcess(home)
    process.ensure()
    assert started.commands == [], "without a file nobody is told"
    write_rules(home, "receivers: {}")
    process.ensure()
    assert started.commands == [], "once a minute"
    started.seconds = LOOK_SECONDS
    process.ensure()
    ((command, environment),) = started.commands
    assert tuple(command[-len(COMMAND) :]) == COMMAND
    assert environment["CLUSTERCTL_HOME"] == str(home)
    assert "HOOK" not in environment
    with FileLock(home / ALERTS_LOCK):
        started.seconds += 10_000
        process.ensure()
    assert len(started.commands) == 1, "another tells already"


def test_one_that_ends_at_once_is_started_less_and_less_often(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    started, process = Started(monkeypatch), AlertProcess(home)
    write_rules(home, "receivers: wrong")
    for second in range(0, 8 * 3600, 30):
        started.seconds = float(second)
        process.ensure()
    assert 10 <= len(started.commands) <= 24


def test_a_supervisor_whose_machine_has_no_room_is_told_of_it(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Which `Watch` notes as a problem of the run, and goes on."""
    Started(monkeypatch)

    def refuse(*_: object, **__: object) -> str:
        raise ClusterctlError("no further process")

    monkeypatch.setattr(alert_process.processes, "spawn", refuse)
    write_rules(home, "receivers: {}")
    with pytest.raises(ClusterctlError):
        AlertProcess(home).ensure()
