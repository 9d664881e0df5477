"""A disk that is full and a database server that is gone, in the middle of a run: one message, the way on, nothing lost.

The disk is a small one of its own, which takes root to mount.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from postgresql import Server, running_server

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from kill_harness import Bench, ThisMachine

from clusterctl.ledger import open_ledger
from clusterctl.targets.processes import kill, tagged

PATIENCE_SECONDS = 120.0
DISK_MIB = 12
"""The ledger, its log, a checkpoint twice, and little more."""


class LongRun(ThisMachine):
    """The harness's run, too long to end by itself."""

    spec = ThisMachine.spec.replace("steps: 12", "steps: 2000")


class Watched(Bench):
    """A run under trouble."""

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}"
            time.sleep(0.2)

    def marks(self) -> int:
        return sum(file.read_bytes().count(b"\n") for file in self.store.glob("runs/*/marks.jsonl"))

    def say(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.command), *arguments]
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.store,
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
        )

    def says_once(self, words: str, *arguments: str) -> None:
        """One message, with the way on, and exit code 5 (1: a file of the run's folder)."""
        done = self.say(*arguments)
        assert done.returncode in (1, 5), (arguments, done.stdout, done.stderr)
        assert done.stderr.count("error: ") == 1
        assert words in done.stderr
        assert "\nhint: " in done.stderr
        assert "Traceback" not in done.stderr

    def ends_well(self) -> None:
        """`down`, then nothing is left, nothing is lost, and the bill is right."""
        done = self.say("down", "killed")
        assert done.returncode == 0, done.stderr
        self._check()
        assert self.tally.wrong() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert os.geteuid() == 0, "mounting a small disk takes root"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(disk)], check=True)
    try:
        yield disk
    finally:
        for process in tagged(disk / "home"):
            kill(process)
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Takes the rest of the disk, to the last byte; returns what to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_a_full_disk_before_and_during_a_run(small_disk: Path) -> None:
    bench = Watched(LongRun(), small_disk / "home")
    assert bench.say("status").returncode == 0
    filler = fill(small_disk)
    bench.says_once("can't be written: the disk is full", "up", "killed.yaml", "--yes")
    assert list(bench.store.glob("runs/*")) == []
    filler.unlink()

    up = bench.say("up", "killed.yaml", "--yes", "--detach")
    assert up.returncode == 0, up.stderr
    bench.until(lambda: bench.marks() >= 3, "three steps")
    filler = fill(small_disk)
    bench.until(lambda: "trying again" in supervisor_says(bench) or not trainers(bench), "the trouble is noticed")
    time.sleep(5.0)
    for arguments in (("status",), ("events", "killed"), ("cost", "killed")):  # reading may go on; what fails says why
        done = bench.say(*arguments)
        assert done.returncode in (0, 5), done.stderr
        assert done.stderr.count("error: ") == (1 if done.returncode else 0)
    filler.unlink()

    before = bench.marks()
    on = bench.say("up", "killed", "--yes", "--detach")
    assert on.returncode == 0, on.stderr
    bench.until(lambda: bench.marks() >= before + 3, "it goes on")
    bench.ends_well()


def supervisor_says(bench: Watched) -> str:
    return "".join(file.read_text("utf-8", "replace") for file in bench.store.glob("runs/*/logs/supervisor.log"))


def trainers(bench: Watched) -> object:
    return bench.place.live(bench.store).get("trainer")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def bench(server: Server, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(LongRun(), tmp_path / "home", ledger=server.new_database())
    yield made
    for process in tagged(made.store):
        kill(process)


def test_a_server_that_is_gone_in_the_middle(server: Server, bench: Watched) -> None:
    up = bench.say("up", "killed.yaml", "--yes", "--detach")
    assert up.returncode == 0, up.stderr
    bench.until(lambda: bench.marks() >= 2, "two steps")
    live = bench.place.live(bench.store)
    server.stop()
    try:
        bench.until(lambda: "trying again, and holding the limits" in supervisor_says(bench), "it is noticed")
        for arguments in (("status",), ("up", "killed", "--yes"), ("down", "killed"), ("logs", "killed")):
            bench.says_once("can't be reached", *arguments)
        before = bench.marks()
        bench.until(lambda: bench.marks() > before, "the job goes on")
    finally:
        server.start()
    bench.until(lambda: bench.say("status").returncode == 0, "the server is back")
    before = bench.marks()
    bench.until(lambda: bench.marks() > before, "the job still goes on")
    now = bench.place.live(bench.store)
    assert {role: now[role] for role in ("trainer", "sandbox")} == {role: live[role] for role in ("trainer", "sandbox")}
    # its lock went with the server, so that `status` may have started another supervisor: one of the two leaves
    bench.until(lambda: len(bench.place.live(bench.store)["supervisor"]) == 1, "one supervisor")
    bench.ends_well()


def test_limits_hold_while_the_server_is_gone(server: Server, bench: Watched) -> None:
    up = bench.say("up", "killed.yaml", "--yes", "--detach", "--allow-over-limit", "--limit-hours", "0.005")
    assert up.returncode == 0, up.stderr
    bench.until(lambda: bench.marks() >= 2, "two steps")
    server.stop()
    try:
        bench.until(lambda: set(bench.place.live(bench.store)) == {"supervisor"}, "everything else has ended")
    finally:
        server.start()
    bench.until(lambda: not bench.place.live(bench.store), "the supervisor has written what it did, and left")
    with open_ledger(bench.ledger) as ledger:
        run = ledger.get_run("killed")
        assert (run.state, run.note.endswith("while the ledger was away")) == ("stopped", True), run.note
        assert Decimal("0.0001") < ledger.bill(run.run_id).known_usd < Decimal("0.002")
    bench.ends_well()
