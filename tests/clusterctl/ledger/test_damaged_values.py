"""A ledger whose bytes or values are damaged ends a command with exit 5 and one message that names the file."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from clusterctl.dashboard.sample import load_sample
from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "simulated-rlcef-32b"
COMMANDS = (
    "status",
    f"status {NAME}",
    f"cost {NAME} --explain",
    "cost --by team --by model",
    f"events {NAME}",
    "sweep",
    "cost --focus f.csv",
)
WRONG = (
    ("runs", "created_at", "0000-00-00 00:00:00.000000"), ("runs", "created_at", "9999-12-31 23:59:59.999999"), ("runs", "created_at", 5),
    ("runs", "state", "flying"), ("runs", "labels", "[1"), ("runs", "labels", "[]"), ("runs", "labels", '{"team": NaN'), ("runs", "limit_usd", "NaN"),
    ("runs", "limit_usd", "1e999999"), ("runs", "alternative", "two"), ("runs", "beat_uptime_seconds", "x"), ("runs", "name", b"\xff"),
    ("resources", "tags", "[[["), ("resources", "usd_per_hour", "-5"), ("resources", "live_at", "gone"), ("resources", "state", None),
    ("resources", "kind", b"\xff\xfe"), ("costs", "usd", "Infinity"), ("costs", "usd", "2026-05-04"), ("costs", "usd_per_unit", "{"),
    ("costs", "from_at", "yesterday"), ("costs", "to_at", None), ("costs", "to_at", "0001-01-01 00:00:00.000000"),
    ("phases", "seconds", 1e999), ("phases", "seconds", "long"), ("events", "at", "9" * 5000), ("events", "data", "{"),
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The ledger of the simulated day, without the constraints that a damaged file would not keep."""
    folder = tmp_path_factory.mktemp("good")
    load_sample(folder)
    with closing(sqlite3.connect(folder / "ledger.db")) as database:
        database.executescript(
            "PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table';"
        )
    return (folder / "ledger.db").read_bytes()


SHOWN_BY = {
    "runs": (f"status {NAME}", "cost --by team"), "resources": (f"cost {NAME}", "cost --focus f.csv"), "costs": (f"cost {NAME}",),
    "phases": ("calibrate",), "events": (f"events {NAME}",),
}  # fmt: skip
"""Table → commands that read all of its columns."""


def test_values_of_a_wrong_type_are_damage(good: bytes, in_process: Run, tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    for table, column, value in WRONG:
        file.write_bytes(good)
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            database.execute(f"UPDATE {table} SET {column} = ?", (value,))
            database.commit()
        codes = set()
        for command in SHOWN_BY[table]:
            done = in_process(*command.split(), CLUSTERCTL_LEDGER=str(file))
            codes.add(done.returncode)
            if done.returncode == 5:
                assert str(file) in done.stderr or "in the ledger" in done.stderr
                assert "\n\nhint: " in done.stderr
        assert 5 in codes, (table, column, value)
        assert codes <= {0, 2, 5}, (table, column, value)


@pytest.mark.parametrize("metrics", ["null", "[1]", "{", '{"reward": Infinity}'])
def test_metrics_that_are_none_are_damage(good: bytes, tmp_path: Path, metrics: str) -> None:
    (tmp_path / "ledger.db").write_bytes(good)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute("UPDATE steps SET metrics = ?", (metrics,))
        database.commit()
    with open_ledger(str(tmp_path / "ledger.db")) as ledger, pytest.raises(StateError, match=r"steps\.metrics holds"):
        ledger.steps(ledger.get_run(NAME).run_id)


def test_flipped_bytes_are_damage_or_harmless(good: bytes, in_process: Run, tmp_path: Path) -> None:
    file, codes = tmp_path / "ledger.db", []
    for seed in range(40):
        rng, content = random.Random(f"flip/{seed}"), bytearray(good)
        for _ in range(rng.choice((1, 20, 200))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(content if seed % 5 else good[: rng.randrange(len(good))])
        for rest in tmp_path.glob("ledger.db-*"):
            rest.unlink()
        done = in_process(*rng.choice(COMMANDS).split(), CLUSTERCTL_LEDGER=str(file))
        codes.append(done.returncode)
        assert done.returncode in (0, 2, 5), (seed, done.stderr)
        assert "can't be reached" not in done.stderr, seed
    assert codes.count(5) > 5
