"""What runs were found wanting, each as a kind: what hangs is seen and ended, limits hold when nobody watches, nothing of
the bill is lost, and `down` ends a run whatever its folder and its ledger look like."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from fake_place import FakePlace, PlaceBehaves
from kill_harness import SPOILED_CODES, Bench, Place, ThisMachine, append_report, end_everything
from run_checker import machine_usd, moment, read_tables, reported_usd
from run_faults import LedgerLocked, LedgerRestored, LedgerSpoilt, Stopped, killable, of_role
from run_names import DOWN, MACHINE, RUN_NAME, SUPERVISOR, UP, folders, reports
from run_samples import Process, Sampler, alive, processes

LONG_RUN = 4000
"""Steps: it does not end by itself."""
SEEN_SECONDS = 60.0
"""A supervisor that hangs is a problem in `status` by then, and has been replaced by twice that."""
GRACE_SECONDS = 45.0
"""From a limit to the end of the last job: 30 s to save its work, and a busy machine."""
UNWATCHED_SECONDS = 60.0
"""From the moment at which a limit must have been reached to that at which the place ends a run by itself."""
SIDE_BY_SIDE = 6
"""So many kinds at once, each in a store of its own: most of the time is waiting."""
Kind = Callable[[Bench], None]
KINDS: dict[str, tuple[Place, Kind]] = {}


def kind(*, on: Place | None = None, **ways: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers what is tried in a store with a run on a place (this machine), once for each way: a name, and what else
    the function is given."""
    place = on or ThisMachine()

    def register(function: Callable[..., None]) -> Callable[..., None]:
        name = function.__name__.replace("_", " ")
        for way, given in ways.items():
            KINDS[f"{name}, {way.replace('_', ' ')}"] = (place, partial(function, **given))
        if not ways:
            KINDS[name] = (place, function)
        return function

    return register


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """Every kind that was asked for, under way."""
    root = tmp_path_factory.mktemp("kinds")
    asked = {
        item.callspec.params["name"] for item in request.session.items if "tried" in getattr(item, "fixturenames", ())
    }
    with Sampler(root) as sampler, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def trial(number: int, place: Place, function: Kind) -> None:
            bench = Bench(place, root / f"store-{number}", sampler, seed=number, steps=LONG_RUN)
            try:
                function(bench)
            finally:
                end_everything(bench.store)

        yield {name: pool.submit(trial, number, *KINDS[name]) for number, name in enumerate(KINDS) if name in asked}


def start(bench: Bench, *options: str) -> None:
    """A run that is live and has done two steps."""
    bench.say(*UP, "--detach", *options)
    assert bench.until(lambda: bench.steps() >= 2), bench.tally.wrong


def ends_well(bench: Bench) -> None:
    """`down`, then the checker finds nothing."""
    bench.down()
    bench.check()
    assert bench.tally.wrong == []


def run_id(bench: Bench) -> str:
    """The run of the store."""
    (row,) = bench.runs()
    return str(row["run_id"])


def problems(bench: Bench) -> list[str]:
    """What `status` says is wrong."""
    code, out, err = bench.say("status", RUN_NAME, "--json", allowed=SPOILED_CODES)
    return [problem["what"] for row in json.loads(out) for problem in row["problems"]] if code == 0 else [err]


def supervisors(bench: Bench) -> set[str]:
    """Addresses of the supervisors that live."""
    return {process.address for process in of_role(bench.store, SUPERVISOR)}


def jobs(bench: Bench) -> list[Process]:
    """What lives of the run beside its supervisor."""
    return [process for process in processes(bench.store) if process.role != SUPERVISOR]


def go_on(bench: Bench, steps: int = 3) -> bool:
    """Whether so many further steps are recorded in time."""
    before = bench.steps()
    return bench.until(lambda: bench.steps() >= before + steps, SEEN_SECONDS)


@kind()
def a_supervisor_that_hangs_is_seen_and_ended_by_down(bench: Bench) -> None:
    start(bench)
    (hung,) = supervisors(bench)
    Stopped(SUPERVISOR).inject(bench.store)
    assert bench.until(lambda: problems(bench), SEEN_SECONDS, pause_seconds=2.0), "status says that nothing is wrong"
    began = time.monotonic()
    bench.down()
    assert not alive(hung)
    assert time.monotonic() - began < 2 * GRACE_SECONDS
    ends_well(bench)


@kind(down={"ended_by": "down"}, its_successor={"ended_by": "its successor"})
def a_supervisor_that_hangs_in_the_middle_of_a_write_locks_nobody_out(bench: Bench, *, ended_by: str) -> None:
    start(bench)
    (hung,) = supervisors(bench)
    assert bench.until(lambda: stopped_in_a_write(bench), SEEN_SECONDS, pause_seconds=0), "it never wrote"
    if ended_by == "its successor":
        assert bench.until(lambda: not alive(hung), 2 * SEEN_SECONDS), "it still hangs"
        assert go_on(bench)
    ends_well(bench)
    assert not alive(hung)


def stopped_in_a_write(bench: Bench) -> bool:
    """Stops the supervisor for a moment; lets it go on unless it has the ledger's lock."""
    fault = Stopped(SUPERVISOR)
    fault.inject(bench.store)
    try:
        with closing(sqlite3.connect(bench.ledger, timeout=0, isolation_level=None)) as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            ledger.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    fault.undo()
    return False


@kind()
def a_supervisor_that_hangs_is_ended_when_nobody_looks(bench: Bench) -> None:
    start(bench)
    (hung,) = supervisors(bench)
    Stopped(SUPERVISOR).inject(bench.store)
    assert bench.until(lambda: not alive(hung), 2 * SEEN_SECONDS), "it still hangs"
    assert bench.until(lambda: supervisors(bench), SEEN_SECONDS), "nobody has taken over"
    assert go_on(bench)
    ends_well(bench)


@kind(
    killed_hours={"number": signal.SIGKILL, "limit": ("--limit-hours", "0.006")},
    killed_dollars={"number": signal.SIGKILL, "limit": ("--limit-usd", "0.00048")},
    hung_dollars={"number": signal.SIGSTOP, "limit": ("--limit-usd", "0.00048")},
)
def limits_hold_without_any_supervisor(bench: Bench, *, number: signal.Signals, limit: tuple[str, str]) -> None:
    """Both are 21.6 s of the machine.  No supervisor lives for longer than a look takes, and no command is run."""
    start(bench, "--allow-over-limit", *limit)
    (begun,) = [moment(row["live_at"]) for row in read_tables(bench.ledger).resources if row["kind"] == MACHINE]
    ended, first = threading.Event(), set[str]()

    def strike() -> None:
        """The first one hangs or dies; whatever takes over dies."""
        for address in supervisors(bench):
            killable(address, number)
            first.add(address)
        while not ended.wait(0.1):
            for address in supervisors(bench) - first:
                killable(address, signal.SIGKILL)

    striker = threading.Thread(target=strike)
    striker.start()
    try:
        assert bench.until(lambda: not jobs(bench), 21.6 + UNWATCHED_SECONDS + 2 * GRACE_SECONDS), (
            f"still there: {jobs(bench)}"
        )
        assert time.time() - (begun or 0.0) < 21.6 + UNWATCHED_SECONDS + GRACE_SECONDS
    finally:
        ended.set()
        striker.join()
    ends_well(bench)
    assert (
        machine_usd(bench.ledger, run_id(bench))
        < Decimal("0.08") * Decimal(21.6 + UNWATCHED_SECONDS + GRACE_SECONDS) / 3600
    )


@kind()
def a_supervisor_outlives_a_ledger_that_is_locked(bench: Bench) -> None:
    """It lives, holds the limits and tries again: nobody may replace it, or say that it has died."""
    start(bench)
    (before,), seen = supervisors(bench), set[str]()
    fault = LedgerLocked(Path(bench.ledger))
    fault.inject(bench.store)
    watching = bench.start("status", "--watch")
    try:
        bench.until(lambda: seen.update(supervisors(bench)), 45.0)
    finally:
        fault.undo()
        time.sleep(5.0)
        watching.kill()
        out, _ = watching.communicate()
    assert seen == {before}
    assert "had died" not in out
    assert go_on(bench)
    ends_well(bench)


@kind()
def the_bill_begins_with_the_first_role(bench: Bench) -> None:
    start(bench)
    used = bench.sampler.history(bench.store, run_id(bench)).jobs[0][0]
    billed = min(moment(row["from_at"]) or 0.0 for row in read_tables(bench.ledger).costs if row["quantity"] is None)
    assert billed - used < 0.3
    ends_well(bench)


@kind()
def a_start_whose_supervisors_die_is_billed(bench: Bench) -> None:
    """Whoever starts a role dies before it can write that it has."""
    follower = bench.start(*UP)
    for _ in range(3):
        bench.until(lambda: jobs(bench), 30.0, pause_seconds=0.01)
        for address in supervisors(bench):
            killable(address, signal.SIGKILL)
        time.sleep(3.0)
    follower.kill()
    follower.communicate()
    bench.say("status")
    assert go_on(bench)
    ends_well(bench)


@kind()
def a_burst_of_reports_does_not_blind_the_limits(bench: Bench) -> None:
    """6,000 costs of $0.0001 in one write, against a limit of $0.02."""
    start(bench, "--allow-over-limit", "--limit-usd", "0.02")
    (folder,) = folders(bench.store)
    began = time.monotonic()
    burst(reports(folder), 6000)
    assert bench.until(lambda: not jobs(bench), GRACE_SECONDS)
    assert time.monotonic() - began < 15.0, "the reports were booked before the limit was looked at"
    assert bench.until(lambda: not list(processes(bench.store)), SEEN_SECONDS)
    (row,) = bench.runs()
    assert row["state"] == "stopped"
    assert reported_usd(bench.ledger, run_id(bench)) == Decimal("0.6")
    ends_well(bench)


def burst(file: Path, count: int) -> None:
    """So many reports of $0.0001, in one write."""
    said = {"cost": "egress", "at": "2026-11-23T00:00:00Z", "quantity": 1, "unit": "GiB", "usd": "0.0001"}
    with file.open("ab", buffering=0) as out:
        out.write((json.dumps(said) + "\n").encode() * count)


@kind()
def what_is_reported_while_the_limit_is_near_is_hardly_more(bench: Bench) -> None:
    """A job that goes on to spend until it is ended: $0.0001 each 5 ms, as fast as an API answers."""
    start(bench, "--allow-over-limit", "--limit-usd", "0.02")
    (folder,) = folders(bench.store)
    trainer = {process.address for process in of_role(bench.store, "trainer")}
    said = 0
    while said < 6000 and any(map(alive, trainer)):
        append_report(reports(folder), cost="egress", quantity=1, unit="GiB", usd="0.0001")
        said += 1
        time.sleep(0.005)
    assert bench.until(lambda: not list(processes(bench.store)), SEEN_SECONDS)
    assert reported_usd(bench.ledger, run_id(bench)) == Decimal(said) * Decimal("0.0001")
    assert said < 1500, f"${said * 0.0001:.2f} of a limit of $0.02"
    ends_well(bench)


@kind(supervised={"supervised": True}, unsupervised={"supervised": False})
def a_ledger_that_is_restored_from_a_copy_loses_nothing(bench: Bench, *, supervised: bool) -> None:
    start(bench)
    fault = LedgerRestored(Path(bench.ledger))
    fault.inject(bench.store)
    (folder,) = folders(bench.store)
    for _ in range(3):
        append_report(reports(folder), cost="egress", quantity=1, unit="GiB", usd="0.25")
        assert go_on(bench)
    assert bench.until(lambda: reported_usd(bench.ledger, run_id(bench)) == Decimal("0.75"))
    if not supervised:
        for address in supervisors(bench):
            killable(address, signal.SIGKILL)
    fault.undo()
    bench.say("status")
    assert bench.until(lambda: reported_usd(bench.ledger, run_id(bench)) == Decimal("0.75"), 30.0), "dollars are lost"
    assert go_on(bench)
    ends_well(bench)


@kind(alive={"killed": False}, killed={"killed": True})
def what_is_reported_while_the_ledger_is_away_is_not_lost(bench: Bench, *, killed: bool) -> None:
    start(bench)
    (folder,) = folders(bench.store)
    fault = LedgerLocked(Path(bench.ledger))
    fault.inject(bench.store)
    append_report(reports(folder), cost="egress", quantity=1, unit="GiB", usd="12.50")
    time.sleep(8.0)  # longer than a writer waits for its turn
    if killed:
        for address in supervisors(bench):
            killable(address, signal.SIGKILL)
    fault.undo()
    bench.say("status")
    assert bench.until(lambda: reported_usd(bench.ledger, run_id(bench)) == Decimal("12.5"), 30.0)
    ends_well(bench)


@kind(
    garbage={"how": "garbage", "supervisor": "lives"},
    garbage_hung={"how": "garbage", "supervisor": "hangs"},
    newer={"how": "newer", "supervisor": "lives"},
    newer_dead={"how": "newer", "supervisor": "is dead"},
    removed={"how": "removed", "supervisor": "lives"},
    removed_dead={"how": "removed", "supervisor": "is dead"},
)
def down_finds_what_runs_without_a_ledger(bench: Bench, *, how: str, supervisor: str) -> None:
    start(bench)
    name, fault = run_id(bench), LedgerSpoilt(Path(bench.ledger), how)
    if supervisor == "hangs":
        Stopped(SUPERVISOR).inject(bench.store)
    elif supervisor == "is dead":
        for address in supervisors(bench):
            killable(address, signal.SIGKILL)
    bench.inject(fault)
    code, _, err = bench.say(DOWN[0], name, *DOWN[2:], allowed=(0, 5))
    assert bench.until(lambda: not list(processes(bench.store)), GRACE_SECONDS), (code, err)
    assert bench.tally.wrong == []


@kind()
def the_rows_of_a_run_are_there_before_its_processes(bench: Bench) -> None:
    """At the first moment at which a job is seen, its machine is recorded."""
    up = bench.start(*UP, "--detach")
    bench.until(lambda: jobs(bench), 60.0, pause_seconds=0.01)
    with closing(sqlite3.connect(bench.ledger)) as database:
        machines = database.execute("SELECT count(*) FROM resources WHERE kind = ?", (MACHINE,)).fetchone()[0]
    up.communicate()
    assert machines == 1
    ends_well(bench)


@kind(on=FakePlace())
def three_nodes_are_billed_and_count_against_the_limit(bench: Bench) -> None:
    """At $0.08 an hour each: $0.001 are 15 seconds of all three."""
    out = bench.say(*UP, "--dry-run")[1]
    assert "$0.24" in out
    start(bench, "--allow-over-limit", "--limit-usd", "0.001")
    assert bench.until(lambda: not supervisors(bench), GRACE_SECONDS)
    (row,) = bench.runs()
    assert row["state"] == "stopped", row["note"]
    billed = machine_usd(bench.ledger, run_id(bench))
    assert Decimal("0.001") <= billed < Decimal("0.0014"), billed
    machines = [row for row in read_tables(bench.ledger).resources if row["kind"] == MACHINE]
    assert len(machines) == 3
    ends_well(bench)


@kind(on=FakePlace())
def a_place_that_can_not_be_asked_is_said_and_nothing_is_started_twice(bench: Bench) -> None:
    start(bench)
    fault = PlaceBehaves({"errors": [{"on": "observe", "error": "credentials have expired", "times": 100_000}]})
    fault.inject(bench.store)
    assert bench.until(lambda: any("credentials" in what for what in problems(bench)), SEEN_SECONDS, pause_seconds=2.0)
    time.sleep(5.0)
    fault.undo()
    assert go_on(bench)
    starts = [row for row in read_tables(bench.ledger).resources if row["role"] == "trainer"]
    assert len(starts) == 1
    ends_well(bench)


@kind(on=FakePlace())
def a_limit_holds_while_the_place_can_not_be_asked(bench: Bench) -> None:
    """What runs there can't be ended before it answers, and is billed until then."""
    start(bench, "--allow-over-limit", "--limit-usd", "0.001")
    fault = PlaceBehaves({"errors": [{"on": "observe", "error": "timed out", "times": 100_000}]})
    fault.inject(bench.store)
    assert bench.until(lambda: any(row["desired"] == "down" for row in bench.runs()), 2 * GRACE_SECONDS)
    fault.undo()
    assert bench.until(lambda: not supervisors(bench), GRACE_SECONDS)
    ends_well(bench)


@kind(on=FakePlace())
def a_listing_that_lags_makes_no_node_twice(bench: Bench) -> None:
    """What was asked for and is not shown yet is there: it is neither made again nor taken for released."""
    PlaceBehaves({"lag_seconds": 0.7}).inject(bench.store)
    start(bench)
    assert go_on(bench)
    assert bench.place.wrong(bench.store) == []
    assert len([row for row in read_tables(bench.ledger).resources if row["kind"] == MACHINE]) == 3
    ends_well(bench)


@kind(
    on=FakePlace(), no_capacity={"settings": {"no_capacity": ["here"]}}, late={"settings": {"machine_seconds": 300.0}}
)
def nodes_that_do_not_come_cost_nothing_and_are_said(bench: Bench, *, settings: dict[str, Any]) -> None:
    PlaceBehaves(settings).inject(bench.store)
    bench.say(*UP, "--detach")
    time.sleep(5.0)
    assert machine_usd(bench.ledger, run_id(bench)) == 0
    (row,) = bench.runs()
    assert row["state"] in ("wanted", "provisioning", "queued")
    if "no_capacity" in settings:
        assert bench.until(lambda: problems(bench), SEEN_SECONDS, pause_seconds=2.0)
    ends_well(bench)


@kind(trainer={"role": "trainer"}, its_holder={"role": "trainer", "holder": True}, sandbox={"role": "sandbox"})
def down_ends_a_role_that_hangs(bench: Bench, *, role: str, holder: bool | None = None) -> None:
    start(bench)
    Stopped(role, holder).inject(bench.store)
    began = time.monotonic()
    bench.down()
    assert time.monotonic() - began < 2 * GRACE_SECONDS
    assert not jobs(bench)
    ends_well(bench)


@pytest.mark.parametrize("name", KINDS)
def test_of_a_kind(name: str, tried: dict[str, Future[None]]) -> None:
    tried[name].result()
