"""Many processes at one ledger: made once, one winner of a name, locks of the living, nothing lost to kill -9."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ledger_world import a_run

from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.store import WRITE

CHILDREN = Path(__file__).with_name("ledger_children.py")


def children(*words: object) -> Any:
    command = [sys.executable, str(CHILDREN), *map(str, words)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def test_eight_processes_make_one_ledger_and_one_gets_the_name(url: str) -> None:
    found = children("together", url, 8)
    assert [said[0] for said in found] == ["open"] * 8
    assert sorted(said[1] for said in found) == ["SpecError: a run named `rlcef` is live"] * 7 + ["mine"]
    with open_ledger(url) as ledger:
        assert len(ledger.runs()) == 1


@pytest.mark.parametrize("seed", [7])
def test_kill_9_of_a_writer_loses_nothing_and_charges_nothing_twice(url: str, seed: int) -> None:
    found = children("killed", url, seed, 30)
    assert sum(writer["acknowledged"] for writer in found) > 100
    last: dict[str, int] = {}
    for writer in found:
        resource, events = writer["resource"], writer["events"]
        assert events == [f"{resource}:{number}" for number in range(len(events))], "each once, none left out"
        floor = max(writer["acknowledged"], last.get(resource, 0))
        assert floor <= len(events) <= floor + 1, "all that was acknowledged, and at most one act that was not"
        assert len(events) - 2 <= writer["seconds"] <= max(0, len(events) - 1)
        assert Decimal(writer["usd"]) == Decimal("0.001") * int(writer["seconds"])
        last[resource] = len(events)


def test_a_lock_has_one_owner_whom_the_error_names(ledger: Ledger) -> None:
    with run_lock(ledger, "rlcef-1", "up") as check:
        check()
        second = run_lock(ledger, "rlcef-1", "up", wait_seconds=0.1)
        with pytest.raises(LockHeldError, match=rf"rlcef-1.up is locked by clusterctl process {os.getpid()} on "):
            second.__enter__()
        with run_lock(ledger, "rlcef-1", "supervisor"), run_lock(ledger, "../x/y", "up"):
            pass
    with run_lock(ledger, "rlcef-1", "up"):
        pass


def test_the_lock_of_a_killed_owner_is_free(url: str, ledger: Ledger) -> None:
    command = [sys.executable, str(CHILDREN), "hold", url, "rlcef-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = owner.stdout.readline().strip()
        with pytest.raises(LockHeldError, match=f"process {pid} on "), run_lock(ledger, "rlcef-1", "up"):
            pytest.fail("two owners")
        owner.kill()
    with run_lock(ledger, "rlcef-1", "up", wait_seconds=120):
        pass


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a broken link", "garbage", "read only"])
def test_a_lock_whose_file_was_damaged_is_held_by_one_all_the_same(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "locks" / "rlcef-1.up.lock"
    file.parent.mkdir()
    if damage == "a folder":
        (file / "inside").mkdir(parents=True)
    elif damage == "a pipe":
        os.mkfifo(file)
    elif damage == "a broken link":
        file.symlink_to("nowhere")
    else:
        file.write_bytes(b"\xff\0\xfe")
        file.chmod(0o400 if damage == "read only" else 0o600)
    with open_ledger(str(tmp_path / "ledger.db")) as ledger, run_lock(ledger, "rlcef-1", "up"):
        with pytest.raises(LockHeldError, match=r"rlcef-1\.up is locked by "), run_lock(ledger, "rlcef-1", "up"):
            pass
        assert file.exists() or damage == "a broken link"
    with open_ledger(str(tmp_path / "ledger.db")) as ledger, run_lock(ledger, "rlcef-1", "up"):
        pass


def test_a_ledger_that_another_holds_too_long(url: str, ledger: Ledger) -> None:
    ledger.add_run(a_run())
    with open_ledger(url, wait_seconds=0.1) as other:
        with ledger.engine.execution_options(begin=WRITE).begin() as connection:
            if ledger.file is None:
                connection.exec_driver_sql("LOCK TABLE events")
            with pytest.raises(StateError, match="is locked by another process") as caught:
                other.record_event("rlcef-1", "k", "m", event_id="x")
        assert "nothing that was recorded is lost" in str(caught.value.hint)
        assert other.record_event("rlcef-1", "k", "m", event_id="x") == other.events("rlcef-1")[0]


def test_readers_miss_no_event_while_many_write(url: str, ledger: Ledger) -> None:
    """Sequence numbers are handed out before commits: without a lock, a later one can be seen first."""
    ledger.add_run(a_run())
    seen: list[str] = []
    with open_ledger(url, wait_seconds=120) as patient, ThreadPoolExecutor(4) as writers:
        work = [writers.submit(patient.record_event, "rlcef-1", "k", "m", event_id=f"{n}") for n in range(400)]
        last = 0
        while len(seen) < 400 and not (
            all(one.done() for one in work) and not ledger.events("rlcef-1", since_seq=last)
        ):
            for event in ledger.events("rlcef-1", since_seq=last):
                seen.append(event.event_id)
                last = event.seq
        assert {one.exception() for one in work} == {None}
    assert sorted(seen, key=int) == [f"{n}" for n in range(400)]
