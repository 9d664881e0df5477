"""A disk that is full and a database server that is gone, in the middle of a run: one message, the way on, nothing lost.

The disk is a small one of its own, which takes root to mount.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from postgresql import Server, running_server

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from kill_harness import Bench, ThisMachine, end_everything
from run_checker import machine_usd
from run_faults import fill, of_role, small_disk, unmount
from run_names import DOWN, RUN_NAME, SUPERVISOR, UP, UP_AGAIN, folders, reports
from run_samples import Sampler, processes

LONG_RUN = 2000
PATIENCE_SECONDS = 120.0
DISK_MIB = 12
"""The ledger, its log, a checkpoint twice, and little more."""


class Watched(Bench):
    """A run under trouble."""

    def wait(self, condition: object, what: str) -> None:
        """Until it comes true."""
        assert callable(condition)
        assert self.until(condition, PATIENCE_SECONDS), f"not in time: {what}"

    def reported(self) -> int:
        """How many steps the job has reported."""
        return sum(
            reports(folder).read_bytes().count(b'"step"') for folder in folders(self.store) if reports(folder).exists()
        )

    def supervisor_says(self) -> str:
        """Its log."""
        files = self.store.glob(f"runs/*/logs/{SUPERVISOR}.log")
        return "".join(file.read_text("utf-8", "replace") for file in files)

    def roles(self) -> dict[str, set[str]]:
        """Addresses of what lives, by role; programs in sandboxes come and go."""
        found: dict[str, set[str]] = {}
        for process in processes(self.store):
            if process.command and process.role in (SUPERVISOR, "trainer") and "bwrap" not in process.command:
                found.setdefault(process.role, set()).add(process.address)
        return found

    def says_once(self, words: str, *arguments: str) -> None:
        """One message, with the way on, and exit code 5 (1: a file of the run's folder)."""
        code, out, err = self.say(*arguments, allowed=(1, 5))
        assert code in (1, 5), (arguments, out, err)
        assert err.count("error: ") == 1
        assert words in err
        assert "\nhint: " in err

    def ends_well(self) -> None:
        """`down`, then nothing is left, nothing is lost, and the bill is right."""
        self.down()
        self.check()
        assert self.tally.wrong == []


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[Sampler]:
    with Sampler(tmp_path) as looking:
        yield looking


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    if not small_disk(tmp_path / "disk", DISK_MIB):
        assert os.geteuid() != 0, "root may not mount a small disk here"
        pytest.skip("mounting a small disk takes root")
    try:
        yield tmp_path / "disk"
    finally:
        end_everything(tmp_path)
        unmount(tmp_path / "disk")


def test_a_full_disk_before_and_during_a_run(disk: Path, sampler: Sampler) -> None:
    bench = Watched(ThisMachine(), disk / "home", sampler, steps=LONG_RUN)
    bench.say("status")
    filler = fill(disk)
    bench.says_once("can't be written: the disk is full", *UP)
    assert folders(bench.store) == []
    filler.unlink()

    bench.say(*UP, "--detach")
    bench.wait(lambda: bench.reported() >= 3, "three steps")
    filler = fill(disk)
    bench.wait(lambda: "trying again" in bench.supervisor_says() or "trainer" not in bench.roles(), "it is noticed")
    time.sleep(5.0)
    for arguments in (("status",), ("events", RUN_NAME), ("cost", RUN_NAME)):  # reading may go on; what fails says why
        code, _, err = bench.say(*arguments, allowed=(0, 5))
        assert err.count("error: ") == (1 if code else 0)
    filler.unlink()

    before = bench.reported()
    bench.say(*UP_AGAIN)
    bench.wait(lambda: bench.reported() >= before + 3, "it goes on")
    bench.ends_well()


def test_a_full_disk_of_the_runs_folder_alone(disk: Path, tmp_path: Path, sampler: Sampler) -> None:
    """The ledger lies elsewhere: `status` says what is wrong, and `down` ends the run."""
    bench = Watched(ThisMachine(), disk / "home", sampler, steps=LONG_RUN, ledger=str(tmp_path / "ledger.db"))
    bench.say(*UP, "--detach")
    bench.wait(lambda: bench.reported() >= 3, "three steps")
    filler = fill(disk)
    time.sleep(5.0)
    code, out, err = bench.say("status", RUN_NAME, allowed=(0, 1, 5))
    assert code or "no problems" not in out, (out, err)
    bench.down()
    assert bench.until(lambda: not list(processes(bench.store)), 10.0)
    filler.unlink()
    bench.ends_well()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def bench(server: Server, tmp_path: Path, sampler: Sampler) -> Iterator[Watched]:
    made = Watched(ThisMachine(), tmp_path / "home", sampler, steps=LONG_RUN, ledger=server.new_database())
    yield made
    end_everything(tmp_path)


def test_a_server_that_is_gone_in_the_middle(server: Server, bench: Watched) -> None:
    bench.say(*UP, "--detach")
    bench.wait(lambda: bench.reported() >= 2, "two steps")
    live = bench.roles()
    server.stop()
    try:
        bench.wait(lambda: "trying again, and holding the limits" in bench.supervisor_says(), "it is noticed")
        for arguments in (("status",), UP_AGAIN, ("logs", RUN_NAME)):
            bench.says_once("can't be reached", *arguments)
        before = bench.reported()
        bench.wait(lambda: bench.reported() > before, "the job goes on")
    finally:
        server.start()
    bench.wait(lambda: bench.say("status", allowed=(0, 5))[0] == 0, "the server is back")
    before = bench.reported()
    bench.wait(lambda: bench.reported() > before, "the job still goes on")
    assert bench.roles()["trainer"] == live["trainer"]
    # its lock went with the server, so that `status` may have started another supervisor: one of the two leaves
    bench.wait(lambda: len(bench.roles()[SUPERVISOR]) == 1, "one supervisor")
    bench.ends_well()


def test_down_ends_a_run_while_the_server_is_gone(server: Server, bench: Watched) -> None:
    bench.say(*UP, "--detach")
    bench.wait(lambda: bench.reported() >= 2, "two steps")
    (folder,) = folders(bench.store)
    server.stop()
    try:
        bench.says_once("can't be reached", DOWN[0], folder.name, *DOWN[2:])
        bench.wait(lambda: not list(processes(bench.store)), "its processes were found by their tags")
    finally:
        server.start()
    bench.spoiled["bill"].add(folder.name)
    bench.ends_well()


def test_limits_hold_while_the_server_is_gone(server: Server, bench: Watched) -> None:
    bench.say(*UP, "--detach", "--allow-over-limit", "--limit-hours", "0.005")
    bench.wait(lambda: bench.reported() >= 2, "two steps")
    server.stop()
    try:
        bench.wait(lambda: set(bench.roles()) <= {SUPERVISOR}, "everything else has ended")
    finally:
        server.start()
    bench.wait(lambda: not of_role(bench.store, SUPERVISOR), "the supervisor has written what it did, and left")
    (run,) = bench.runs()
    assert (run["state"], str(run["note"]).endswith("while the ledger was away")) == ("stopped", True), run["note"]
    assert Decimal("0.0001") < machine_usd(bench.ledger, str(run["run_id"])) < Decimal("0.002")
    bench.ends_well()
