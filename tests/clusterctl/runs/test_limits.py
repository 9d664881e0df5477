"""Limits that hold: dollars, hours and idleness; with an unknown price, a wrong clock, or no ledger."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from run_world import SPEC, UNPRICED, kinds, live_roles, opened, stand_in_jobs, tick_until, watch

from clusterctl.clock import SteadyClock
from clusterctl.errors import StateError
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs import apply_changes, idleness
from clusterctl.runs import run as run_module
from clusterctl.runs import watch as watching
from clusterctl.runs.run_forecast import usage
from clusterctl.runs.run_status import state_of
from clusterctl.runs.watch import Watch

Monkey = pytest.MonkeyPatch


def slow(store: Path, ledger: Ledger, monkeypatch: Monkey, spec: str = SPEC, **how: object) -> run_module.OpenRun:
    """A run whose step takes half a minute."""
    stand_in_jobs(monkeypatch, seconds=30.0, **how)  # type: ignore[arg-type]
    return opened(store, ledger, spec)


def test_the_limit_in_dollars_warns_and_stops(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    monkeypatch.setattr(watching, "WRITE_SECONDS", 0.05)
    run = slow(tmp_path, ledger, monkeypatch)
    ledger.set_limits(run.run_id, usd=Decimal("0.008"), hours=None)  # eight seconds
    watch(run)
    row = ledger.get_run(run.run_id)
    assert row.state == "stopped"
    assert row.note.startswith("the limit is reached: $0.008")
    assert [kind for kind in kinds(run) if kind in ("warn", "limit")] == ["warn", "limit"]
    assert Decimal("0.008") <= ledger.bill(run.run_id).known_usd < Decimal("0.014")
    (problem,) = state_of(run).problems
    assert problem.fix.startswith(f"clusterctl up {run.run_id} --limit-usd ")


def test_without_a_price_the_limit_in_hours_stops_it(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    run = slow(tmp_path, ledger, monkeypatch, UNPRICED)
    ledger.set_limits(run.run_id, usd=Decimal("0.000001"), hours=Decimal("0.0003"))  # about a second
    watch(run)
    row, bill = ledger.get_run(run.run_id), ledger.bill(run.run_id)
    assert row.note.startswith("the limit is reached: 0.0")
    assert (bill.usd, bill.known_usd) == (None, 0)
    assert bill.unpriced == (f"{run.run_id}/pool.rlcef.sandbox/1",)
    assert state_of(run).forecast.spent.usd is None


def test_what_has_a_price_still_counts(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    """The price is lost in the middle: what was proved until then is the bill's known part."""
    run = slow(tmp_path, ledger, monkeypatch)
    watched = Watch(run)
    tick_until(watched, lambda: usage(ledger, run.run_id).hours >= Decimal("0.0002"))
    ledger.set_price(f"{run.run_id}/pool.rlcef.sandbox/1", None, source="lost")
    known = ledger.bill(run.run_id).known_usd
    tick_until(watched, lambda: ledger.bill(run.run_id).usd is None)
    assert ledger.bill(run.run_id).known_usd == known > 0
    ledger.set_limits(run.run_id, usd=known, hours=None)
    watch(run)
    assert f"{run.run_id}/pool.rlcef.sandbox/1 without a known price" in ledger.get_run(run.run_id).note


@pytest.mark.parametrize(("at_term", "saved"), [("saves", True), ("ignores", False)])
def test_the_job_is_asked_to_save_before_it_is_killed(
    tmp_path: Path, ledger: Ledger, monkeypatch: Monkey, at_term: str, saved: bool
) -> None:
    monkeypatch.setattr(apply_changes, "STOP_GRACE_SECONDS", 2.0)
    run = slow(tmp_path, ledger, monkeypatch, at_term=at_term)
    watched, log = Watch(run), run.folder.logs / "trainer.log"
    tick_until(watched, lambda: log.exists() and log.read_text().startswith("starts"))  # from now on it hears TERM
    ledger.set_limits(run.run_id, usd=ledger.bill(run.run_id).known_usd, hours=None)
    watch(run)
    assert (run.folder.path / "checkpoint").exists() is saved
    stops = ledger.events(run.run_id, kind="stop")
    roles = [event.role for event in stops if event.message.endswith("the run is to end")]
    assert roles == ["trainer", "sandbox"], "who asks the sandbox ends before it"
    assert any("killed" in event.message for event in stops if event.role == "trainer") is not saved


def test_idle_runs_stop_after_the_stated_time(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    spec = SPEC + "limits: {idle_minutes: 0.02}\n"
    run = slow(tmp_path, ledger, monkeypatch, spec)
    watch(run)
    row = ledger.get_run(run.run_id)
    assert (row.state, row.note) == ("stopped", "idle: no step for 0.02 minutes")


def test_a_new_watcher_goes_on_counting_idle_time(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    stand_in_jobs(monkeypatch, seconds=0.1)
    run = opened(tmp_path, ledger, SPEC + "limits: {idle_minutes: 30}\n")
    assert watch(run, until=1)
    row = ledger.get_run(run.run_id)
    assert row.progress_at is not None
    assert 0 < row.reports_byte <= run.folder.reports.stat().st_size
    monkeypatch.setattr(idleness, "idle_seconds", lambda *_: 0.5)
    watch(run_module.open_run(ledger, tmp_path, run.run_id), until=None)
    assert ledger.get_run(run.run_id).note.startswith("idle") or ledger.get_run(run.run_id).state == "finished"


@pytest.mark.parametrize("year", [1999, 2036])
def test_a_job_with_a_wrong_clock(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey, year: int) -> None:
    """Its marks are dated by ours: order, bill, limits and restarts don't move."""
    stand_in_jobs(monkeypatch, year=year)
    run = opened(tmp_path, ledger)
    watch(run)
    steps, row = ledger.steps(run.run_id), ledger.get_run(run.run_id)
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert row.ended_at is not None
    assert all(row.created_at <= step.at <= row.ended_at for step in steps)
    assert ledger.bill(run.run_id).known_usd < Decimal("0.05")


@pytest.mark.parametrize("days", [-3650, 3650])
def test_limits_hold_when_the_clock_jumps(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey, days: int) -> None:
    """The wall clock jumps while the run lives, and its watcher is replaced: neither bills nor hides an hour."""
    run = slow(tmp_path, ledger, monkeypatch)
    ledger.set_limits(run.run_id, usd=Decimal("0.003"), hours=None)  # three seconds
    watched = Watch(run)
    tick_until(watched, lambda: usage(ledger, run.run_id).hours >= Decimal("0.0003"))
    before = ledger.bill(run.run_id).known_usd
    jumped = SteadyClock(
        run_module.last_beat(ledger.get_run(run.run_id)), wall=lambda: datetime.now(tz=UTC) + timedelta(days=days)
    )
    watch(dataclasses.replace(run_module.open_run(ledger, tmp_path, run.run_id), clock=jumped))
    row = ledger.get_run(run.run_id)
    assert row.note.startswith("the limit is reached")
    assert before < Decimal("0.003") <= ledger.bill(run.run_id).known_usd < Decimal("0.006")
    assert row.ended_at is not None
    assert abs(row.ended_at - datetime.now(tz=UTC)) < timedelta(minutes=5)


def test_limits_hold_while_the_ledger_is_away(tmp_path: Path, ledger: Ledger, monkeypatch: Monkey) -> None:
    run = slow(tmp_path, ledger, monkeypatch)
    ledger.set_limits(run.run_id, usd=Decimal("0.002"), hours=None)
    watched = Watch(run)
    tick_until(watched, lambda: "trainer" in live_roles(run) and watched.limits.known is not None)

    def away(*_: object, **__: object) -> None:
        raise StateError("the ledger can't be reached")

    with pytest.MonkeyPatch.context() as gone:
        gone.setattr(type(ledger), "transact", away)
        with pytest.raises(StateError):
            watched.tick()
        while live_roles(run):
            watched.hold()
            time.sleep(0.05)
    while watched.tick():
        pass
    row = ledger.get_run(run.run_id)
    assert (row.state, row.note.endswith("while the ledger was away")) == ("stopped", True)
    assert Decimal("0.002") <= ledger.bill(run.run_id).known_usd < Decimal("0.006")
    assert "launch" not in kinds(run)[-2:], "nothing was started again"
