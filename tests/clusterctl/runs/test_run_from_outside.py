"""A real run as its surroundings can make it: named by relative paths, and full of text that attacks the terminal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kill_harness import ThisMachine

from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Run as RunRow
from clusterctl.targets.processes import kill, tagged

Command = Callable[..., str]
Run = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE_SECONDS = 240
FROM_ELSEWHERE = {"CLUSTERCTL_HOME": "../data", "CLUSTERCTL_LEDGER": "../book.db"}
ATTACK = "\x1b[2J\x1b]0;title\x07\x1b[31mred\x9b2J\rover\u202etxt"
OUR_COLOURS = re.compile(r"\x1b\[(?:[0-2]|3[1-6]|1;31)m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("outside")
    (made / "killed.yaml").write_text(ThisMachine.spec.replace("steps: 12", "steps: 3"), encoding="utf-8")
    (made / "other").mkdir()
    yield made
    for process in tagged(made / "data"):
        kill(process)


@pytest.fixture(scope="module")
def command(folder: Path, scripts: Path) -> Command:
    """Run in a folder beside the data; what it printed, on stdout and stderr."""

    def run(*args: str, where: str = "other", **environ: str) -> str:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)} | (environ or FROM_ELSEWHERE)
        done = subprocess.run(
            [str(scripts / "clusterctl"), *args],
            cwd=folder / where,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stdout.decode()
        return done.stdout.decode()

    return run


@pytest.fixture(scope="module")
def run_id(command: Command) -> str:
    """Of a run that was started by relative paths and has finished."""
    command("up", "killed.yaml", "--yes", where="", CLUSTERCTL_HOME="data", CLUSTERCTL_LEDGER="sqlite:///book.db")
    (seen,) = json.loads(command("status", "--all", "--json"))
    assert (seen["state"], seen["step"]) == ("finished", 3)
    return str(seen["run"])


def test_supervisor_and_roles_mean_the_same_place(run_id: str, command: Command, folder: Path) -> None:
    assert run_id in command("down", "--yes", run_id)
    assert list(tagged(folder / "data")) == []
    made = {path.name.partition("-")[0] for path in folder.iterdir()}
    assert made == {"book.db", "data", "killed.yaml", "locks", "other"}
    assert list((folder / "other").iterdir()) == []
    assert not (folder / "data" / "ledger.db").exists()


def test_what_a_run_writes_controls_no_terminal(run_id: str, in_process: Run, folder: Path) -> None:
    (log,) = (folder / "data" / "runs" / run_id / "logs").glob("trainer.log")
    with log.open("a", encoding="utf-8") as lines:
        lines.write(f"{ATTACK}\n")
    now = datetime.now(tz=UTC)
    with open_ledger(str(folder / "book.db")) as ledger:
        ledger.record_event(run_id, "warn", ATTACK, event_id="attack")
        plan = ledger.get_run(run_id).plan_id
        labels = {"team": ATTACK}
        ledger.add_run(RunRow(run_id="odd", name=ATTACK, target=ATTACK, plan_id=plan, created_at=now, labels=labels))
        ledger.set_state("odd", "failed", note=ATTACK)
    environ = {
        "CLUSTERCTL_HOME": str(folder / "data"),
        "CLUSTERCTL_LEDGER": str(folder / "book.db"),
        "FORCE_COLOR": "1",
    }
    done = {
        line: in_process(*line.split(), **environ)
        for line in (
            f"logs {run_id}",
            f"events {run_id}",
            f"status {run_id}",
            f"cost {run_id}",
            f"down {run_id}",
            f"down {run_id} --json",
            f"logs {run_id} --json",
            "status --all",
            "cost --by label:team --by run",
            "cost --csv --by label:team",
            "sweep",
            "calibrate --list",
        )
    }
    assert {line: each.stderr for line, each in done.items() if each.returncode} == {}
    shown = {line: each.stdout + each.stderr for line, each in done.items()}
    for line, text in shown.items():
        if "--csv" not in line:
            assert [each for each in OUR_COLOURS.sub("", text) if not each.isprintable() and each != "\n"] == [], line
    for line in (f"logs {run_id}", f"events {run_id}"):
        assert "␛[2J␛]0;title␇␛[31mred�2J␍over�txt" in shown[line]
    logged = [json.loads(line)["line"] for line in shown[f"logs {run_id} --json"].splitlines()]
    assert ATTACK in logged
