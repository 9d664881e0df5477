"""What people read: it fits 80 to 200 columns, unknown is said, and times are the reader's."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from run_world import UNPRICED, kill_role, opened, stand_in_jobs, watch

from clusterctl.errors import SpecError
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs.planned_actual import planned_against_actual
from clusterctl.runs.render import bill_text, page, progress_text, table
from clusterctl.runs.run import OpenRun
from clusterctl.runs.run_status import as_data, state_of
from clusterctl.runs.time_options import moment
from clusterctl.runs.watch import Watch
from clusterctl.targets.role_logs import last_error, note_times, read_times
from clusterctl.ui.formats import charged_usd, elapsed, when
from clusterctl.ui.terminal import Terminal

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
Run = Callable[..., subprocess.CompletedProcess[str]]


def plain(columns: int) -> Terminal:
    return Terminal(columns=columns, colour=False, interactive=False)


@pytest.mark.parametrize("columns", [80, 100, 140, 200])
def test_everything_fits(run: OpenRun, columns: int) -> None:
    assert watch(run, until=2)
    state = state_of(run)
    shown = [progress_text(state, columns), *table([state], plain(columns)).splitlines()]
    shown += page(state, plain(columns)).splitlines()
    shown += bill_text(planned_against_actual(run), state.step, columns=columns).splitlines()
    assert [line for line in shown if len(line) > columns] == []
    assert shown[0].startswith("step 2/4")


def test_unknown_is_said_and_what_is_known_with_it(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_jobs(monkeypatch)
    run = opened(tmp_path, ledger, UNPRICED)
    assert watch(run, until=1)
    state = state_of(run)
    assert "unknown so far" in page(state, plain(100))
    assert "nothing but idleness can stop it" in page(state, plain(100))
    assert json.loads(json.dumps(as_data(state)))["usd"] is None
    known = dataclasses.replace(state.forecast.spent, known_usd=Decimal("1.5"))
    more = dataclasses.replace(state, forecast=dataclasses.replace(state.forecast, spent=known))
    assert "at least $1.5000 so far" in page(more, plain(100))
    assert "A price is not known, so the true bill is higher." in bill_text(planned_against_actual(run), state.step)


def test_a_role_that_does_not_stay_up_is_a_problem_with_a_command(run: OpenRun) -> None:
    assert watch(run, until=2)  # the stand-in waits before its third step
    watched = Watch(run)
    for launches in (2, 3):
        kill_role(run, "sandbox")
        while [event.role for event in run.ledger.events(run.run_id, kind="launch")].count("sandbox") < launches:
            watched.tick()
    problems = [problem for problem in state_of(run).problems if "sandbox has been started" in problem.what]
    assert [problem.fix for problem in problems] == [f"clusterctl logs {run.run_id} --role sandbox --tail 20"]


def test_moments_as_people_type_them() -> None:
    assert moment("--since", "10m", NOW) == NOW - timedelta(minutes=10)
    assert moment("--since", "2026-11-24T10:00+00:00", NOW) == NOW - timedelta(hours=26)
    local = NOW.astimezone()
    assert moment("--since", "7:05", NOW) == local.replace(hour=7, minute=5, second=0, microsecond=0)
    for wrong in ("", "ten", "10", "25:00", "2026-13-01", "-5m"):
        with pytest.raises(SpecError, match="--since: "):
            moment("--since", wrong, NOW)


def test_words_for_amounts() -> None:
    assert [elapsed(s) for s in (0, 38.4, 720, 12_000, 187_200)] == ["0 s", "38 s", "12 min", "3 h 20 min", "2 d 4 h"]
    assert charged_usd(None) == "unknown"
    assert charged_usd(Decimal("1234.5")) == "$1,234.50"
    here = NOW.astimezone()
    assert when(NOW, NOW) == f"{here:%H:%M}"
    assert when(NOW - timedelta(days=2), NOW) == f"{here - timedelta(days=2):%a %H:%M}"
    assert when(NOW - timedelta(days=40), NOW) == "2026-10-16"


def test_logs_know_their_time_and_their_last_error(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_text("one\n")
    note_times(tmp_path, NOW)
    note_times(tmp_path, NOW + timedelta(seconds=1))
    log.write_text("one\nerror: broken\nlast words\n")
    note_times(tmp_path, NOW + timedelta(seconds=2))
    with (tmp_path / "trainer.times").open("a") as torn:
        torn.write("99")
    assert read_times(log) == [(4, NOW), (29, NOW + timedelta(seconds=2))]
    assert last_error(log) == "broken"
    assert last_error(tmp_path / "none.log") == ""


def test_sweep_shows_age_and_cost_and_asks(in_process: Run, tmp_path: Path) -> None:
    home = tmp_path / ".local" / "share" / "clusterctl"
    (home / "runs" / "lost-123456").mkdir(parents=True)
    (home / "runs" / "lost-123456" / "reports.jsonl").write_text("x" * 2048)
    tags = {"CLUSTERCTL_STORE": str(home), "CLUSTERCTL_RUN": "gone-654321", "CLUSTERCTL_ROLE": "trainer"}
    with subprocess.Popen(["sleep", "600"], env=os.environ | tags, start_new_session=True) as left:
        refused = in_process("sweep")
        assert (refused.returncode, "cannot ask: stdin is not a terminal" in refused.stderr) == (2, True)
        for words in ("process trainer", "gone-654321", "unknown", "folder", "lost-123456", "2 KiB"):
            assert words in refused.stdout
        assert (len(json.loads(in_process("sweep", "--json").stdout)), left.poll()) == (2, None)
        swept = in_process("sweep", "--yes")
        assert (swept.returncode, "removed 2 of 2" in swept.stdout) == (0, True)
        assert left.wait(120) != 0
    assert in_process("sweep").stdout == "nothing is left over\n"
