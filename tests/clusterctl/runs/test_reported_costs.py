"""What a job reports beside its machine: priced, counted once whatever is killed, shown everywhere; mistakes are said."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_world import SPEC, opened, stand_in_jobs, watch

from clusterctl.costs.queries import account
from clusterctl.errors import StateError
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs import folder
from clusterctl.runs import run as run_module
from clusterctl.runs.job_reports import MOST_NAMES, CostReport, StepReport, read_report
from clusterctl.runs.planned_actual import planned_against_actual
from clusterctl.runs.report_reader import MOST_PROBLEMS, ReportReader
from clusterctl.runs.run_forecast import hourly_rate, run_forecast
from clusterctl.runs.run_status import state_of
from clusterctl.runs.watch import Watch
from clusterctl.telemetry import report_cost
from planners.costs.spend import by

Monkey = pytest.MonkeyPatch
Run = Callable[..., subprocess.CompletedProcess[str]]
MODEL = "claude-sonnet-4.5"
COSTS = [
    ("tokens", 1_000_001, "input tokens", {"name": MODEL, "role": "judge", "provider": "anthropic"}),
    ("tokens", 1000, "output tokens", {"name": MODEL, "role": "judge", "provider": "anthropic"}),
    ("storage", "2.5", "GiB-months", {"name": "s3://checkpoints", "usd_per_unit": "0.023", "source": "my contract"}),
    ("egress", 3, "GiB", {"usd": Decimal("0.27"), "source": "the proxy"}),
    ("tokens", 7, "output tokens", {"name": "nobody-knows-it", "role": "judge"}),
]
"""3.000003 + 0.015 + 0.0575 + 0.27 dollars, and seven tokens at an unknown price."""
KNOWN = Decimal("3.342503")


def report(run: run_module.OpenRun, monkeypatch: Monkey, *costs: Any) -> None:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("CLUSTERCTL_REPORTS", str(run.folder.reports))
    for kind, quantity, unit, more in costs:
        report_cost(kind, quantity, unit, **more)


def reported(run: run_module.OpenRun) -> dict[str, Decimal | None]:
    """Dollars by resource of what is no machine and no process."""
    lines = run.ledger.bill(run.run_id).lines
    return {line.resource_id.partition("/")[2]: line.usd for line in lines if line.kind not in ("machine", "process")}


def test_each_kind_is_priced_and_counted(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    report(run, monkeypatch, *COSTS, COSTS[0])
    assert watch(run, until=2)
    assert reported(run) == {
        f"judge/tokens/{MODEL}/input tokens": Decimal("6.000006"),
        f"judge/tokens/{MODEL}/output tokens": Decimal("0.015"),
        "trainer/storage/s3://checkpoints/GiB-months": Decimal("0.0575"),
        "trainer/egress/GiB": Decimal("0.27"),
        "judge/tokens/nobody-knows-it/output tokens": None,
    }
    found = account(run.ledger, None, run=run.run_id)
    assert found.spend.unpriced == (f"{run.run_id}/judge/tokens/nobody-knows-it/output tokens",)
    assert found.spend.known_usd == run.ledger.bill(run.run_id).known_usd
    uses = {row["use"]: row["usd"] for row in by(found.parts, "use").iter_rows(named=True)}
    assert {use: uses[use] for use in ("tokens", "storage", "egress")} == {
        "tokens": None,
        "storage": Decimal("0.0575"),
        "egress": Decimal("0.27"),
    }
    source = by(found.parts.filter(found.parts["unit"] == "input tokens"), "source")["source"].item()
    assert source.startswith("genai-prices@")
    assert found.parts.filter(found.parts["unit"] == "input tokens")["quantity"].sum() == 2_000_002


def test_the_forecast_goes_on_with_what_was_reported(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    assert watch(run, until=1)
    before = state_of(run).forecast.rate.usd_per_hour
    report(run, monkeypatch, *COSTS[:4])
    assert watch(run, until=2)
    state, bill = state_of(run), run.ledger.bill(run.run_id)
    assert (before, bill.usd) == (Decimal("3.6"), bill.known_usd)
    (node,) = [line for line in bill.lines if line.kind == "machine"]
    rate = KNOWN * 3600 / Decimal(str(node.seconds))
    assert (
        state.forecast.rate.usd_per_hour
        == hourly_rate(run.ledger, run.run_id).usd_per_hour
        == rate.quantize(Decimal("0.000001")) + Decimal("3.6")
    )
    assert state.forecast.usd_at_end is not None
    assert state.forecast.usd_at_end > bill.known_usd >= KNOWN
    ahead = run_forecast(run.ledger, state.row, run.plan, state.now).usd
    assert ahead is not None
    assert ahead.p50 > bill.known_usd
    lines = planned_against_actual(run)
    assert sum(Decimal(str(line.known)) for line in lines if line.kind == "line") == bill.known_usd
    assert {line.name: line.actual for line in lines}["trainer/egress/GiB"] == 0.27


def test_the_limit_in_dollars_counts_it(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    stand_in_jobs(monkeypatch, seconds=30.0)
    run = opened(tmp_path, ledger)
    ledger.set_limits(run.run_id, usd=Decimal(3), hours=None)
    report(run, monkeypatch, *COSTS)
    watch(run)
    row = ledger.get_run(run.run_id)
    assert row.state == "stopped"
    assert row.note.startswith("the limit is reached: at least $3.3")


def test_nothing_is_lost_while_the_ledger_is_away(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    """What was read and could not be written is read again: the position is written with it."""
    assert watch(run, until=1)
    report(run, monkeypatch, ("egress", 1, "GiB", {"usd": Decimal("12.50")}))
    watched = Watch(run)
    with pytest.MonkeyPatch.context() as away:

        def gone(*_: object, **__: object) -> None:
            raise StateError("the ledger can't be reached")

        away.setattr(type(run.ledger), "record_reports", gone)
        with pytest.raises(StateError):
            watched.tick()
    watched.tick()
    assert reported(run) == {"trainer/egress/GiB": Decimal("12.50")}


def test_a_ledger_that_was_restored_from_a_copy_reads_on_from_there(
    run: run_module.OpenRun, tmp_path: Path, monkeypatch: Monkey
) -> None:
    report(run, monkeypatch, *COSTS)
    assert watch(run, until=1)
    with sqlite3.connect(run.ledger.where) as now, sqlite3.connect(tmp_path / "copy.db") as copy:
        now.backup(copy)
    report(run, monkeypatch, *COSTS)
    assert watch(run, until=2)
    before = reported(run)
    with sqlite3.connect(tmp_path / "copy.db") as copy, sqlite3.connect(run.ledger.where) as now:
        copy.backup(now)
    watch(run_module.open_run(run.ledger, tmp_path, run.run_id))
    assert reported(run) == before
    assert [step.step for step in run.ledger.steps(run.run_id)] == [1, 2, 3, 4]


def test_reports_that_were_cut_count_once(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    report(run, monkeypatch, COSTS[3], COSTS[3])
    assert watch(run, until=2)  # the job writes nothing more until it may do its third step
    whole = run.folder.reports.read_bytes()
    run.folder.reports.write_bytes(whole[: whole.index(b"\n") + 1])
    assert watch(run, until=2)
    report(run, monkeypatch, COSTS[3])
    watch(run)
    assert reported(run) == {"trainer/egress/GiB": Decimal("0.81")}


def test_a_burst_does_not_blind_the_limits(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    stand_in_jobs(monkeypatch, seconds=30.0)
    run = opened(tmp_path, ledger)
    ledger.set_limits(run.run_id, usd=Decimal("0.2"), hours=None)
    line = {"cost": "egress", "at": "2026-11-29T12:00:00Z", "quantity": 1, "unit": "GiB", "usd": "0.0001"}
    run.folder.reports.write_text(6000 * (json.dumps(line) + "\n"), encoding="utf-8")
    watched, ticks = Watch(run), 0
    while ledger.get_run(run.run_id).desired == "up":
        watched.tick()
        ticks += 1
    assert ticks <= 2
    assert reported(run) == {"trainer/egress/GiB": Decimal("0.6")}
    watch(run)


def test_a_line_that_was_torn_spoils_no_other(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    run.folder.reports.write_text('{"cost": "egr', encoding="utf-8")
    report(run, monkeypatch, COSTS[3])
    assert watch(run, until=1)
    assert reported(run) == {"trainer/egress/GiB": Decimal("0.27")}


BAD = {
    "negative": ({"quantity": -5}, "quantity: Input should be greater than or equal to 0"),
    "not a number": ({"quantity": "many"}, "quantity: Input should be a valid decimal"),
    "NaN": ({"quantity": "NaN"}, "quantity: Input should be a finite number"),
    "huge": ({"quantity": 10**16}, "quantity: Input should be less than or equal to 1000000000000000"),
    "dear": ({"quantity": 10**15, "usd_per_unit": 1}, "it comes to more than $1,000,000"),
    "unknown kind": ({"cost": "lunch"}, "cost: Input should be 'tokens', 'storage' or 'egress'"),
    "misspelt": ({"usd_per_units": 1}, "usd_per_units: Extra inputs are not permitted"),
    "two prices": ({"usd": 1, "usd_per_unit": 1}, "give either usd or usd_per_unit, not both"),
    "control character": ({"name": "a\nb"}, "name: Value error, must be printable text of one line"),
}  # fmt: skip


def test_mistakes_are_said_once_and_end_nothing(run: run_module.OpenRun, monkeypatch: Monkey, tmp_path: Path) -> None:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    good = {"cost": "egress", "at": "2026-11-25T00:00:00Z", "quantity": 1, "unit": "GiB", "usd": "0.5"}
    lines = [
        json.dumps(
            ({"usd": None} | good | wrong)
            if "usd_per_unit" not in wrong or "usd" in wrong
            else {name: value for name, value in (good | wrong).items() if name != "usd"}
        )
        for wrong, _ in BAD.values()
    ]
    lines += ["not JSON", '{"steps": 1}', json.dumps(good), lines[0], "[" * 100_000]
    run.folder.reports.write_text("\n".join(lines) + "\n", encoding="utf-8")
    watch(run)
    assert run.ledger.get_run(run.run_id).state == "finished"
    assert reported(run) == {"trainer/egress/GiB": Decimal("0.5")}
    said = [event.message for event in run.ledger.events(run.run_id, kind="report")]
    for number, (_, why) in enumerate(BAD.values(), 1):
        (message,) = [message for message in said if f"line {number} " in message]
        assert why in message
        assert str(run.folder.reports) in message
    assert len(said) == len(BAD) + 2, "one for each reason"
    assert any(problem.what == said[0] for problem in state_of(run).problems)


def test_a_flood_of_mistakes_fills_no_ledger_and_hides_no_cost(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    step = {"at": "2026-11-25T00:00:00Z", "stage": "s", "step": 1, "of": 2}
    run.folder.path.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(step | {"phases": {f"phase {number}": -1}}) for number in range(3000)]
    run.folder.reports.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report(run, monkeypatch, COSTS[3])
    watch(run)
    assert len(run.ledger.events(run.run_id, kind="report")) <= MOST_PROBLEMS
    assert reported(run) == {"trainer/egress/GiB": Decimal("0.27")}


def test_large_reports_are_recorded_in_parts(run: run_module.OpenRun, monkeypatch: Monkey) -> None:
    monkeypatch.setattr(folder, "MOST_REPORT_BYTES", 1000)
    report(run, monkeypatch, *[COSTS[3]] * 30)
    row, reader = run.ledger.get_run(run.run_id), ReportReader(run, run.ledger.get_run(run.run_id), run.clock.now())
    assert reader.read(row)
    assert 0 < run.ledger.get_run(run.run_id).reports_byte < 2000
    while reader.read(run.ledger.get_run(run.run_id)):
        pass
    assert reported(run) == {"trainer/egress/GiB": 30 * Decimal("0.27")}


def test_a_metric_that_is_none_spoils_no_report() -> None:
    metrics = {"reward": 0.5, "done": True, "note": "x", "\ud800": 1, "a\0b": 1, "a\nb": 1, "n" * 201: 1}
    step = {"at": "2026-11-25T00:00:00Z", "stage": "s", "step": 1, "of": 2, "metrics": metrics}
    found = read_report(json.dumps(step).encode())
    assert isinstance(found, StepReport)
    assert found.metrics == {"reward": 0.5}


def test_a_report_of_endless_phases_does_not_count() -> None:
    step = {"at": "2026-11-25T00:00:00Z", "stage": "s", "step": 1, "of": 2}
    for name in ("phases", "metrics"):
        found = read_report(json.dumps(step | {name: {str(number): 1 for number in range(MOST_NAMES + 1)}}).encode())
        assert isinstance(found, str)
        assert f"{name}: Dictionary should have at most" in found


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["cost", "at", "quantity", "unit", "usd", "stage", "step", "of", "phases", "metrics"])
                | st.text(),
                inner,
            )
        ),
    ),
    st.sampled_from(
        [
            {},
            {"cost": "tokens", "at": "2026-11-25T00:00:00Z", "unit": "x"},
            {"stage": "s", "at": "2026-11-25T00:00:00+01:00"},
        ]
    ),
)
def test_no_line_is_too_odd_to_be_read(value: Any, known: dict[str, Any]) -> None:
    line = json.dumps(value | known if isinstance(value, dict) else value).encode()
    for text in (line, line[: len(line) // 2], b"\xff" + line):
        found = read_report(text)
        assert isinstance(found, CostReport | StepReport | str)
        assert not isinstance(found, CostReport) or 0 <= found.quantity <= 10**15


def test_a_real_run_that_reports_is_shown_everywhere(in_process: Run, tmp_path: Path) -> None:
    """The quickstart's processes, and costs reported from beside them, as a judge behind an API would."""
    (tmp_path / "r.yaml").write_text(SPEC.replace("steps: 4", "steps: 4000"), encoding="utf-8")

    def said(*arguments: str) -> str:
        done = in_process(*arguments, CLUSTERCTL_HOME=str(tmp_path), CLUSTERCTL_LEDGER=str(tmp_path / "ledger.db"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    said("up", "r.yaml", "--yes", "--detach")
    (folder,) = (tmp_path / "runs").glob("*")
    job = f"from clusterctl.telemetry import report_cost\nfor kind, quantity, unit, more in {COSTS!r}: report_cost(kind, quantity, unit, **more)"
    subprocess.run(
        [sys.executable, "-c", f"from decimal import Decimal\n{job}"],
        check=True,
        env=os.environ | {"CLUSTERCTL_REPORTS": str(folder / "reports.jsonl")},
    )
    while Decimal(json.loads(said("status", folder.name, "--json"))[0]["known_usd"] or 0) < KNOWN:
        time.sleep(0.2)
    assert "judge/tokens" in said("down", "--yes", folder.name)
    cost = json.loads(said("cost", folder.name, "--json", "--by", "role"))
    node = sum(Decimal(row["known_usd"]) for row in cost["rows"]) - KNOWN
    assert (cost["usd"], Decimal(cost["known_usd"]), len(cost["unpriced"])) == (None, KNOWN + node, 1)
    assert node > 0
    assert json.loads(said("status", folder.name, "--json"))[0]["known_usd"] == cost["known_usd"]
    assert "1.00 M input tokens: $3.000003" in said("cost", folder.name, "--explain")
    rows = list(csv.DictReader(io.StringIO(said("cost", folder.name, "--focus", "-"))))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == KNOWN + node
    assert {
        (row["ConsumedUnit"], Decimal(row["ConsumedQuantity"]))
        for row in rows
        if row["ResourceType"] in ("tokens", "egress")
    } == {("input tokens", 1_000_001), ("output tokens", 1000), ("GiB", 3)}
