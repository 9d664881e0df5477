"""What can go wrong with a file or a URL: one message, the way on, nothing lost, no password shown."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import psycopg
import pytest
from ledger_world import a_run, at
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.database_errors import ABSENT, FULL, LOCKED, READ_ONLY, REFUSED, UNREACHABLE, meaning
from clusterctl.ledger.store import parse_url

SECRET = "pl4nted-s3cret"


def record(ledger_file: Path, num: int, **options: float) -> None:
    with open_ledger(str(ledger_file), **options) as ledger:  # type: ignore[arg-type]  # only wait_seconds is passed
        ledger.add_run(a_run())
        for number in range(num):
            ledger.record_event("rlcef-1", "k", "x" * 500, event_id=f"{number}", at=at(number))


def recorded(ledger_file: Path) -> int:
    with open_ledger(str(ledger_file)) as ledger:
        return len(ledger.events("rlcef-1"))


def test_the_default_is_a_private_file_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLUSTERCTL_LEDGER", raising=False)
    with open_ledger() as ledger:
        assert ledger.file == tmp_path / "home" / "ledger.db"
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("CLUSTERCTL_LEDGER", f"sqlite:///{tmp_path}/other.db")
    with open_ledger() as ledger, ledger.engine.connect() as connection:
        assert ledger.file == tmp_path / "other.db"
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        }
        assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        f"postgresql://u:{SECRET}@h:{SECRET}/d",
        f"{SECRET}://",
        "://",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_ledger(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.hint


def test_a_path_is_a_url_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("a b%20.db", f"{tmp_path}/a b%20.db", "~/a b%20.db"):
        assert parse_url(text).database == f"{tmp_path}/a b%20.db"
    assert parse_url("sqlite:///ledger.db").database == f"{tmp_path}/ledger.db"


def test_a_server_that_cannot_be_reached_and_its_password(capfd: pytest.CaptureFixture[str]) -> None:
    for url in (
        f"postgresql://clara:{SECRET}@127.0.0.1:1/runs",
        f"postgres://127.0.0.1:1/runs?user=clara&password={SECRET}",
    ):
        with pytest.raises(StateError, match=r"the ledger 127\.0\.0\.1, database runs can't be reached") as caught:
            open_ledger(url, wait_seconds=0.1)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert "start the server" in str(caught.value.hint)
    assert SECRET not in "".join(capfd.readouterr())


def test_postgresql_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateError, match="PostgreSQL needs the package psycopg") as caught:
        open_ledger("postgresql://127.0.0.1:1/runs")
    assert caught.value.hint == "pip install 'clusterctl[postgresql]'"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("53100", FULL),
        ("53300", UNREACHABLE),
        ("57P01", UNREACHABLE),
        ("55P03", LOCKED),
        ("28P01", REFUSED),
        ("3D000", ABSENT),
        ("25006", READ_ONLY),
        ("42501", READ_ONLY),
    ],
)
def test_codes_of_postgresql(code: str, expected: tuple[str, str]) -> None:
    assert meaning(OperationalError("", {}, psycopg.errors.lookup(code)("words"))) == expected


@pytest.mark.parametrize("damage", ["no database", "a page"])
def test_a_damaged_file(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "ledger.db"
    record(file, 50)
    content = bytearray(file.read_bytes())
    if damage == "no database":
        content[:100] = b"x" * 100
    else:
        content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StateError, match=r"ledger.db is damaged") as caught:
        recorded(file)
    assert "sqlite3 OLD .recover" in str(caught.value.hint)
    assert file.read_bytes() == bytes(content), "left as it is"


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    record(file, 20)
    with open_ledger(str(file)) as ledger:

        @event.listens_for(ledger.engine, "connect")
        def full(raw: sqlite3.Connection, _record: object) -> None:
            raw.execute("PRAGMA max_page_count = 30")

        ledger.engine.dispose()
        done: list[int] = []
        with pytest.raises(StateError, match="the disk is full") as caught:
            done.extend(ledger.record_event("rlcef-1", "k", "x" * 500, event_id=f"{n}").seq for n in range(20, 300))
        assert "make room, then run the same command again" in str(caught.value.hint)
        assert len(ledger.events("rlcef-1")) == 20 + len(done), "reading goes on"
    record(file, 300)
    assert recorded(file) == 300


LIMITED = """
import resource, sys
from test_ledger_failures import record, Path
from clusterctl.errors import StateError
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), limits[1]))
try:
    record(Path(sys.argv[1]), 5000)
except StateError as error:
    sys.exit(f"{error.message}|{error.hint}")
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # what measures coverage writes at exit
"""


def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    record(file, 20)
    for limit in (0, 40_000, 200_000):
        command = [sys.executable, "-c", LIMITED, str(file), str(limit)]
        child = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        assert "can't be written: the disk is full or failing|make room" in child.stderr
        assert len(child.stderr.splitlines()) == 1
        assert recorded(file) >= 20
    record(file, 300)
    assert recorded(file) >= 300
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


OPEN = """
import sys
from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger
try:
    with open_ledger(sys.argv[1]) as ledger:
        ledger.record_event("rlcef-1", "k", "m")
except StateError as error:
    sys.exit(f"{error.message}|{error.hint}")
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_may_not_be_written(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    if exists:
        record(folder / "ledger.db", 3)
        (folder / "ledger.db").chmod(0o444)
    folder.chmod(0o555)
    as_anybody = (
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    )  # root may write anywhere
    for name in ("ledger.db",) if exists else ("ledger.db", "sub/ledger.db"):
        command = [*as_anybody, sys.executable, "-c", OPEN, str(folder / name)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert any(words in child.stderr for words in ("may not be written|", "can't be made: Permission denied|"))
        assert "CLUSTERCTL_LEDGER" in child.stderr
        assert len(child.stderr.splitlines()) == 1
    folder.chmod(0o755)
    if exists:
        assert recorded(folder / "ledger.db") == 3


def test_every_failure_is_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file" / "ledger.db", tmp_path):
        with pytest.raises(ClusterctlError):
            open_ledger(str(wrong))


def test_what_commands_import_first_loads_no_database() -> None:
    code = "import sys, clusterctl.ledger, clusterctl.ledger.locks, clusterctl.ledger.rows; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
