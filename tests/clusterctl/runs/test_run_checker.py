"""The checker finds what it is there for: each thing that must not be, made on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fake_place import FakePlace
from run_checker import Expected, check, machine_usd, minus, reported_usd
from run_names import REPORTS_FILE
from run_samples import History, Sampler, processes

SCHEMA = """
CREATE TABLE runs (run_id, name, state, created_at, ended_at);
CREATE TABLE resources (resource_id, run_id, kind, state, live_at, gone_at);
CREATE TABLE costs (run_id, resource_id, from_at, to_at, usd_per_hour, usd, quantity);
CREATE TABLE steps (run_id, stage, step);
INSERT INTO runs VALUES ('r', 'r', 'finished', '2026-11-23 00:00:00', '2026-11-23 01:00:00');
INSERT INTO resources VALUES ('r/node/1', 'r', 'machine', 'gone', '2026-11-23 00:00:10', '2026-11-23 01:00:00');
INSERT INTO costs VALUES ('r', 'r/node/1', '2026-11-23 00:00:10', '2026-11-23 00:30:10', '3.6', '1.8', NULL);
INSERT INTO costs VALUES ('r', 'r/node/1', '2026-11-23 00:30:10', '2026-11-23 01:00:00', '3.6', '1.79', NULL);
INSERT INTO costs VALUES ('r', 'r/egress', '2026-11-23 00:00:10', '2026-11-23 00:20:00', NULL, '0.5', '1');
INSERT INTO resources VALUES ('r/egress', 'r', 'egress', 'gone', '2026-11-23 00:00:10', '2026-11-23 00:00:10');
INSERT INTO steps VALUES ('r', 'rlcef', 1), ('r', 'rlcef', 2);
"""
REPORTS = [
    {"at": "2026-11-23T00:10:00Z", "stage": "rlcef", "step": 1, "of": 2},
    {"at": "2026-11-23T00:20:00Z", "cost": "egress", "usd": "0.5"},
    {"at": "2026-11-23T00:30:00Z", "stage": "rlcef", "step": 2, "of": 2},
]


class Saw(Sampler):
    """What a sampler would have seen of that run."""

    def __init__(self, *, until: str = "2026-11-23T01:00:00", left: tuple[str, ...] = ()) -> None:
        super().__init__(Path("/nowhere"))
        seen = [(_seconds("2026-11-23T00:00:10"), _seconds(until))]
        self._seen, self._left = History(jobs=seen, all=seen), list(left)

    def history(self, store: Path, run: str) -> History:
        """Of any run."""
        return self._seen

    def left(self, store: Path) -> list[str]:
        """As told."""
        return self._left


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def written(store: Path, change: str = "") -> str:
    """A store with that run, and its ledger with a change."""
    folder = store / "runs" / "r"
    folder.mkdir(parents=True)
    (folder / REPORTS_FILE).write_text("".join(json.dumps(row) + "\n" for row in REPORTS), encoding="utf-8")
    with contextlib.closing(sqlite3.connect(store / "ledger.db")) as database:
        database.executescript(SCHEMA + change)
    return str(store / "ledger.db")


def test_a_run_that_is_right(tmp_path: Path) -> None:
    ledger = written(tmp_path)
    assert check(tmp_path, ledger, Saw(), Expected(usd_per_node_hour=Decimal("3.6"))) == []
    assert machine_usd(ledger, "r") == Decimal("3.59")
    assert reported_usd(ledger, "r") == Decimal("0.5")


WRONG = {
    "UPDATE runs SET state = 'running', ended_at = NULL": "is running after down",
    "UPDATE resources SET state = 'live'": "is live after down",
    "UPDATE costs SET usd = '1.7' WHERE usd = '1.8'": "1.7 dollars for 1800.0 s at 3.6 an hour",
    "UPDATE costs SET usd = NULL WHERE usd = '1.8'": "None dollars for",
    "UPDATE costs SET from_at = '2026-11-23 00:30:09' WHERE usd = '1.79'": "is billed twice",
    "UPDATE costs SET to_at = '2026-11-23 01:00:01', usd = '1.791' WHERE usd = '1.79'": "beyond the run's end",
    "UPDATE resources SET gone_at = '2026-11-23 00:59:59'": "outside of its life",
    "UPDATE resources SET live_at = '2026-11-23 00:00:11'": "outside of its life",
    "DELETE FROM resources WHERE kind = 'machine'": "was never recorded",
    "DELETE FROM steps WHERE step = 2": "lost [('rlcef', 2)]",
    "INSERT INTO steps VALUES ('r', 'rlcef', 3)": "never reported [('rlcef', 3)]",
    "UPDATE costs SET usd = '1.0' WHERE quantity = '1'": "1.0 dollars billed of 0.5 to 0.5",
    "DELETE FROM costs WHERE quantity = '1'": "0 dollars billed of 0.5",
    "DELETE FROM costs WHERE usd = '1.79'": "1790.0 s of use from",
    "UPDATE runs SET run_id = 'another'": "a folder of no run",
}


@pytest.mark.parametrize("change", WRONG)
def test_what_is_wrong_in_the_ledger(tmp_path: Path, change: str) -> None:
    found = check(tmp_path, written(tmp_path, change + ";"), Saw())
    assert any(WRONG[change] in what for what in found), found


def test_what_is_wrong_in_what_lived(tmp_path: Path) -> None:
    ledger = written(tmp_path)
    assert check(tmp_path, ledger, Saw(left=("trainer 7:7",))) == ["left: trainer 7:7"]
    (early,) = check(tmp_path, ledger, Saw(until="2026-11-23T00:50:00"))
    assert "600.0 s from" in early
    assert "are billed, and nothing lived" in early
    late = check(tmp_path, ledger, Saw(until="2026-11-23T01:00:25"))
    assert late[0].startswith("r: a process lived 25.0 s after the run's end")
    assert "25.0 s of use from" in late[1]
    assert (
        "billed at 3.6 an hour, not at 4" in check(tmp_path, ledger, Saw(), Expected(usd_per_node_hour=Decimal(4)))[0]
    )


def test_what_was_spoiled_on_purpose_is_not_lost(tmp_path: Path) -> None:
    ledger = written(tmp_path, "DELETE FROM steps;")
    assert check(tmp_path, ledger, Saw()) != []
    assert check(tmp_path, ledger, Saw(), Expected(lost_reports=frozenset({"r"}))) == []


@pytest.mark.parametrize(
    ("these", "those", "left"),
    [
        ([(0, 9)], [], [(0, 9)]),
        ([(0, 9)], [(0, 9)], []),
        ([(0, 9)], [(2, 3), (5, 6)], [(0, 2), (3, 5), (6, 9)]),
        ([(0, 4), (5, 9)], [(3, 7)], [(0, 3), (7, 9)]),
    ],
)
def test_what_lies_in_none_of_them(
    these: list[tuple[float, float]], those: list[tuple[float, float]], left: list[tuple[float, float]]
) -> None:
    assert minus(these, those) == left


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Processes with the tags of a run."""
    started: list[subprocess.Popen[bytes]] = []

    def process(role: str, code: str = "import time; time.sleep(60)", **tags: str) -> subprocess.Popen[bytes]:
        own = {"CLUSTERCTL_STORE": str(tmp_path), "CLUSTERCTL_RUN": "r", "CLUSTERCTL_ROLE": role}
        command = [sys.executable, "-S", "-E", "-c", code]
        started.append(subprocess.Popen(command, env=own | tags, start_new_session=True))
        return started[-1]

    yield process
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_two_of_a_role_are_found_and_one_of_each_is_not(tmp_path: Path, start: Start) -> None:
    with Sampler(tmp_path) as sampler:
        start("trainer")
        start("sandbox")
        start("sandbox", CLUSTERCTL_RESOURCE="r/sandbox-2/1")
        time.sleep(0.8)
        assert sampler.doubles == {}
        start("trainer")
        time.sleep(1.2)
    ((what,),) = sampler.doubles.values()
    assert what.startswith("r: two of trainer together: ")


def test_what_a_role_has_started_is_found_without_tags(tmp_path: Path, start: Start) -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '60'], env={}); time.sleep(60)"
    with Sampler(tmp_path) as sampler:
        child = start("sandbox", code)
        deadline = time.monotonic() + 10.0
        while len(sampler.history(tmp_path, "r").addresses) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.kill()
        child.wait()
        assert list(processes(tmp_path)) == []
        (left,) = sampler.left(tmp_path)
        assert left.startswith("process ")
        history = sampler.history(tmp_path, "r")
    assert history.jobs[0][1] >= history.jobs[0][0]


def test_what_the_simulated_place_says_itself(tmp_path: Path) -> None:
    def thing(name: str, asked_at: float, ends_at: float | None) -> dict[str, object]:
        return {
            "name": name,
            "index": 0,
            "asked_at": asked_at,
            "ready_at": asked_at + 2,
            "ends_at": ends_at,
            "cause": "",
        }

    place = FakePlace()
    row = {"machines": {"r/m/1": thing("m", 10, 90), "r/m/2": thing("m", 90, 99)}, "instances": {}}
    (tmp_path / "fake").mkdir()
    file = tmp_path / "fake" / "r.place"
    file.write_text(json.dumps(row), encoding="utf-8")
    assert (place.wrong(tmp_path), place.left(tmp_path)) == ([], [])
    assert place.lived(tmp_path) == {"r/m/1": [(11, 90)], "r/m/2": [(91, 99)]}
    row["instances"] = {"r/trainer/1": thing("trainer", 10, 50), "r/trainer/2": thing("trainer", 49, None)}
    file.write_text(json.dumps(row), encoding="utf-8")
    assert place.left(tmp_path) == ["instances r/trainer/2"]
    assert place.wrong(tmp_path) == ["r: two instances trainer 0 at once"]
