"""The commands around a run, as a person and a script use them, on a real small run in the real sandbox."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from kill_harness import ThisMachine

from clusterctl.commands import down as down_command
from clusterctl.targets.processes import kill, tagged

Run = Callable[..., subprocess.CompletedProcess[str]]
SPEC = ThisMachine.spec.replace("killed", "small").replace("steps: 12", "steps: 4")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run.yaml").write_text(SPEC, encoding="utf-8")
    home = tmp_path / ".local" / "share" / "clusterctl"
    yield home
    for process in tagged(home):
        kill(process)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_from_up_to_down(in_process: Run, home: Path) -> None:
    dry = in_process("up", "run.yaml", "--dry-run", "--json")
    (planned,) = lines(dry)
    assert (dry.returncode, planned["kind"], planned["action"]) == (0, "plan", "start")
    assert list(home.glob("runs/*")) == []

    up = in_process("up", "run.yaml", "--yes", "--json")
    assert up.returncode == 0, up.stderr
    rows = lines(up)
    assert [row["step"] for row in rows if row["kind"] == "step"] == [1, 2, 3, 4]
    bill = rows[-1]
    assert (bill["kind"], bill["state"], bill["step"], bill["of"]) == ("bill", "finished", 4, 4)
    assert {line["kind"] for line in bill["lines"]} == {"line", "total", "hours", "phase"}
    assert float(bill["usd"]) > 0
    name = bill["run"]

    again = in_process("up", "run.yaml", "--yes")
    assert (again.returncode, f"{name} has finished" in again.stderr) == (5, True)

    (row,) = json.loads(in_process("status", name, "--json").stdout)
    assert (row["state"], row["live"], row["problems"]) == ("finished", [], [])
    assert "0/0" not in in_process("status", "--all").stdout
    assert f"the last was {name}: finished" in in_process("status").stdout

    logged = lines(in_process("logs", "small", "--json"))
    assert {line["role"] for line in logged} == {"sandbox", "telemetry", "trainer"}
    assert all(line["at"] for line in logged)
    assert lines(in_process("logs", "small", "--role", "sandbox", "--since", "10m", "--json")) == [
        line for line in logged if line["role"] == "sandbox"
    ]
    assert in_process("logs", "small", "--until", "1h", "--tail", "3").stdout == ""
    assert len(in_process("logs", "small", "--tail", "3").stdout.splitlines()) == 3
    happened = json.loads(in_process("events", "small", "--json").stdout)
    assert [event["kind"] for event in happened if event["kind"] not in ("gone", "stop")] == [
        "wanted",
        "launch",
        "launch",
        "launch",
        "end",
    ]
    assert json.loads(in_process("cost", "small", "--json").stdout)["usd"] == bill["usd"]

    for _ in range(2):
        down = in_process("down", "--yes", "small")
        assert down.returncode == 0
        assert "nothing left running; its folder is kept" in down.stdout
        assert "result.json" in down.stdout
    assert in_process("sweep").stdout == "nothing is left over\n"
    assert list(tagged(home)) == []


def test_the_terminal_may_go(clusterctl: Run, in_process: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(SPEC.replace("steps: 4", "steps: 20"), encoding="utf-8")
    up = clusterctl("up", "run.yaml", "--yes", "--detach")
    assert (up.returncode, "is under way" in up.stdout) == (0, True)
    watched = in_process("status", "--watch", "--json")
    states = [json.loads(line) for line in watched.stdout.splitlines()]
    assert states[0][0]["state"] in ("wanted", "running")
    assert states[-1] == [] or states[-1][0]["state"] == "finished"
    followed = in_process("events", "small", "--follow", "--kind", "end")
    assert "the run has finished" in followed.stdout


def test_two_at_once_make_one_run(in_process: Run, home: Path, scripts: Path, tmp_path: Path) -> None:
    command = [str(scripts / "clusterctl"), "up", "run.yaml", "--yes", "--json"]
    both = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    runs = {json.loads(out.splitlines()[-1])["run"] for out, _ in said}
    assert len(runs) == 1
    launches = json.loads(in_process("events", "small", "--kind", "launch", "--json").stdout)
    assert sorted(event["role"] for event in launches) == ["sandbox", "telemetry", "trainer"]
    assert len(list(home.glob("runs/*"))) == 1


def test_a_price_that_nobody_knows(in_process: Run, home: Path, tmp_path: Path) -> None:
    spec = SPEC.replace(", usd_per_hour: 0.08", "").replace("steps: 4", "steps: 400") + "limits: {usd: 1, hours: 0.5}\n"
    (tmp_path / "run.yaml").write_text(spec, encoding="utf-8")
    refused = in_process("up", "run.yaml", "--yes")
    assert refused.returncode == 4
    assert "--allow-unknown-price: start anyway; it is stopped after 0.5 h" in refused.stderr
    assert "an hour costs unknown" in refused.stdout
    up = in_process("up", "run.yaml", "--yes", "--allow-unknown-price", "--allow-over-limit", "--limit-hours", "0.0008")
    assert up.returncode == 6, up.stdout + up.stderr
    assert re.search(r"the limit is reached: [0-9.]+ min of 0\.05 min", up.stderr)
    assert "A price is not known, so the true bill is higher." in up.stdout
    assert re.search(r"total +unknown +unknown", up.stdout)
    (row,) = json.loads(in_process("status", "small", "--json").stdout)
    assert (row["usd"], row["known_usd"], row["usd_at_end"], row["usd_per_hour"]) == (None, "0", None, "0")
    refused = in_process("up", "small", "--yes", "--allow-unknown-price")
    assert (refused.returncode, "can't be resumed: the limit is reached" in refused.stderr) == (3, True)
    on = in_process("up", "small", "--yes", "--allow-unknown-price", "--limit-hours", "0.5", "--detach")
    assert on.returncode == 0, on.stderr
    (row,) = json.loads(in_process("status", "small", "--json").stdout)
    assert (row["usd_at_end"], row["usd_per_hour"], row["known_usd_per_hour"]) == (None, None, "0")
    down = in_process("down", "--yes", "small")
    assert (
        down.returncode,
        "total" in down.stdout,
        "of 400 steps were done; the planned amounts are for all" in down.stdout,
    ) == (0, True, True)


def test_a_plan_that_may_break_its_limits(in_process: Run, home: Path, tmp_path: Path) -> None:
    (planned,) = lines(in_process("up", "run.yaml", "--dry-run", "--json"))
    limit = (planned["usd"]["p50"] + planned["usd"]["p90"]) / 2
    (tmp_path / "run.yaml").write_text(SPEC + f"limits: {{usd: {limit:.9f}}}\n", encoding="utf-8")
    refused = in_process("up", "run.yaml", "--yes")
    assert (refused.returncode, refused.stderr.count("error: ")) == (3, 1)
    assert f"P90 is ${planned['usd']['p90']:.4g}" in refused.stderr
    for choice in (
        "--allow-over-limit: start",
        "at the limit its work is saved and it is stopped",
        "(step ",
        "--limit-usd 0.0",
    ):
        assert choice in refused.stderr
    assert list(home.glob("runs/*")) == []
    raised = re.search(r"--limit-usd ([\d.]+)", refused.stderr)
    assert raised
    allowed = in_process("up", "run.yaml", "--dry-run", "--limit-usd", raised[1])
    assert (allowed.returncode, f"limits   ${raised[1]};" in allowed.stdout) == (0, True)


def test_down_of_a_run_that_is_written_while_it_looks(
    in_process: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = down_command.tagged_things

    def started_meanwhile(store: Path, run: str) -> object:
        monkeypatch.setattr(down_command, "tagged_things", look)
        assert in_process("up", "run.yaml", "--yes", "--detach").returncode == 0
        return look(store, run)

    monkeypatch.setattr(down_command, "tagged_things", started_meanwhile)
    ended = in_process("down", "small", "--yes")
    assert (ended.returncode, "nothing left running" in ended.stdout) == (0, True), ended.stderr


def test_old_prices(in_process: Run, home: Path, tmp_path: Path) -> None:
    """A plan file ages: what counts is how old its prices are now, not when it was made."""
    from clusterctl.specfile.plan_file import parse_plan, plan_text
    from planners.plan.identity import with_id

    assert in_process("plan", "run.yaml", "--out", "plan.json").returncode == 0
    plan = parse_plan((tmp_path / "plan.json").read_text("utf-8"), name="plan.json")
    (line,) = [line for line in plan.lines if line.usd]

    def write(share: float) -> None:
        """So much of its dollars is old."""
        shares = {"boot disks": (share, date(2020, 1, 1)), "machines": (1.0 - share, date(2026, 11, 1))}
        lines = [
            line.model_copy(update={"id": name, "name": name, "usd": 1000.0 * part, "as_of": day})
            for name, (part, day) in shares.items()
        ]
        aged = with_id(plan.model_copy(update={"lines": tuple(lines)}))
        (tmp_path / "plan.json").write_text(plan_text(aged), "utf-8")

    write(share=0.04)
    noted = in_process("up", "plan.json", "--dry-run")
    assert (noted.returncode, "note: the price of boot disks is up to" in noted.stderr) == (0, True), noted.stderr
    assert "days old: 4.0% of the dollars" in noted.stderr
    write(share=0.06)
    refused = in_process("up", "plan.json", "--yes")
    assert "the price of boot disks is up to" in refused.stderr
    assert (refused.returncode, "days old" in refused.stderr, "--allow-old-prices" in refused.stderr) == (4, True, True)
    assert in_process("up", "plan.json", "--yes", "--allow-old-prices").returncode == 0


def test_what_cannot_be_run_is_one_message_and_nothing_done(in_process: Run, home: Path, tmp_path: Path) -> None:
    assert in_process("plan", "run.yaml", "--out", "plan.json").returncode == 0
    plan = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    for name, change in {"edited": {"name": "other"}, "version": {"schema_name": "clusterctl.plan/2"}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(plan | change), encoding="utf-8")
    for arguments, code, words in (
        (("up", "edited.json", "--yes"), 5, "was edited"),
        (("up", "version.json", "--yes"), 5, "this clusterctl reads 'clusterctl.plan/1'"),
        (("up", "no-such", "--yes"), 2, "`no-such` is neither a file nor a run"),
        (("up", "run.yaml"), 2, "cannot ask: stdin is not a terminal"),
        (("up", "run.yaml", "--yes", "--limit-usd", "-1"), 2, "--limit-usd: must be more than 0"),
        (("status", "no-such"), 2, "no run is called `no-such`"),
        (("logs", "no-such"), 2, "no run is called `no-such`"),
        (("events", "no-such"), 2, "no run is called `no-such`"),
        (("cost", "no-such"), 2, "no run is called `no-such`"),
        (("down", "no-such"), 2, "no run is called `no-such`"),
    ):
        done = in_process(*arguments)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert done.stderr.count("error: ") == 1
        assert list(home.glob("runs/*")) == []
        assert list(tagged(home)) == []
    assert in_process("status", "--all", "--json").stdout.strip() == "[]"


def test_a_newer_or_a_locked_ledger(in_process: Run, home: Path) -> None:
    import sqlite3

    assert in_process("status").returncode == 0
    with sqlite3.connect(home / "ledger.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        locked = in_process("up", "run.yaml", "--yes")
        assert (locked.returncode, "is locked by another process" in locked.stderr) == (5, True)
        assert locked.stderr.count("error: ") == 1
        connection.execute("ROLLBACK")
        (version,) = connection.execute("SELECT version_num FROM ledger_version").fetchone()
        connection.execute("UPDATE ledger_version SET version_num = '9999'")
        for command in (("up", "run.yaml", "--yes"), ("status",), ("down", "small"), ("sweep",)):
            newer = in_process(*command)
            assert (newer.returncode, "newer clusterctl" in newer.stderr) == (5, True)
        connection.execute("UPDATE ledger_version SET version_num = ?", [version])
    connection.close()
    assert list(home.glob("runs/*")) == []
    assert in_process("up", "run.yaml", "--yes").returncode == 0
