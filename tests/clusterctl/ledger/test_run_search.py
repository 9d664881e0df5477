"""Runs are found by state, label and text: live ones first, the newest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Run
from clusterctl.ledger.run_search import RunFilter

MORNING = datetime(2026, 11, 23, 6, tzinfo=UTC)


@pytest.fixture
def searched(ledger: Ledger) -> Ledger:
    """r0 (live, the oldest) to r5, two teams; r4 has failed."""
    for number in range(6):
        labels = {"team": f"team-{number % 2}"} if number else {}
        created = MORNING + timedelta(hours=number)
        ledger.add_run(Run(run_id=f"r{number}", name=f"Run {number}", target="t", created_at=created, labels=labels))
        if number:
            ledger.set_state(
                f"r{number}", "failed" if number == 4 else "finished", note="100% of memory" * (number == 4)
            )
    return ledger


def ids(ledger: Ledger, *, limit: int = 10, offset: int = 0, **wanted: object) -> list[str]:
    asked = RunFilter(**{"labels": {}, **wanted})  # type: ignore[arg-type]
    return [run.run_id for run in ledger.find_runs(asked, limit=limit, offset=offset)]


def test_live_runs_come_first_then_the_newest_and_pages_go_on(searched: Ledger) -> None:
    assert ids(searched) == ["r0", "r5", "r4", "r3", "r2", "r1"]
    assert ids(searched, limit=2, offset=2) == ["r4", "r3"]
    assert searched.count_runs(RunFilter(labels={})) == 6


def test_filters_hold_together(searched: Ledger) -> None:
    assert ids(searched, states=("failed",)) == ["r4"]
    assert ids(searched, labels={"team": "team-1"}) == ["r5", "r3", "r1"]
    assert ids(searched, labels={"team": "team-1"}, text="RUN 3") == ["r3"]
    assert searched.count_runs(RunFilter(labels={"team": "team-0"}, states=("finished",))) == 1


def test_text_is_taken_as_it_is(searched: Ledger) -> None:
    assert ids(searched, text="100% OF mem") == ["r4"]
    assert ids(searched, text="r_") == []
    assert ids(searched, text="%") == ["r4"]


def test_values_of_a_label(searched: Ledger) -> None:
    assert searched.label_values("team") == ("team-0", "team-1")
    assert searched.label_values('no"such') == ()


def test_the_last_events_are_the_newest(searched: Ledger) -> None:
    for number in range(5):
        searched.record_event("r0", "launch", f"event {number}")
    assert [event.message for event in searched.events("r0", last=2)] == ["event 3", "event 4"]
