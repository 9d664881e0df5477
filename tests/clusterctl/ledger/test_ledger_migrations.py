"""Versions: the tables are those that the code reads, upgrades keep what is there, a newer ledger is left alone."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from ledger_world import T0, a_batch, a_machine, a_run, at
from sqlalchemy import inspect, text

from clusterctl.errors import StateError
from clusterctl.ledger import migrate, open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import HEAD, VERSION_TABLE
from clusterctl.ledger.log_lesson import LogLesson
from clusterctl.ledger.migrate import upgrade
from clusterctl.ledger.rows import (
    Cost,
    Event,
    FactorRow,
    ImportedBill,
    ImportedLine,
    PhaseSeconds,
    Resource,
    Run,
    Step,
    StoredPlan,
)
from clusterctl.ledger.store import Store, parse_url

ROWS: dict[str, Any] = {
    "runs": Run,
    "plans": StoredPlan,
    "resources": Resource,
    "events": Event,
    "phases": PhaseSeconds,
    "steps": Step,
    "costs": Cost,
}
NOW: dict[str, Any] = ROWS | {
    "factors": FactorRow,
    "log_lessons": LogLesson,
    "bills": ImportedBill,
    "bill_lines": ImportedLine,
}
"""All tables; ROWS are those of the first revision."""
ADDED = {"quantity", "usd_per_unit", "mark"}
"""Columns that later revisions have added to those."""
COST = """INSERT INTO costs (run_id, resource_id, from_at, to_at, usd, source)
VALUES ('rlcef-1', 'rlcef-1/node/1', '2026-03-01 12:00:02+00', '2026-03-01 12:01:00+00', 0.058, 'you')"""
NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9001", "{head}"
def upgrade() -> None:
    op.add_column("runs", sa.Column("team", sa.Text, nullable=True))
    op.execute("UPDATE runs SET team = 'unknown'")
    {more}
"""


def test_the_tables_are_those_that_the_code_reads(ledger: Ledger) -> None:
    found = inspect(ledger.engine)
    assert set(found.get_table_names()) == {*NOW, VERSION_TABLE}
    for table, row in NOW.items():
        optional = {field.name: str(field.type).endswith("| None") for field in fields(row)}
        assert {column["name"]: column["nullable"] for column in found.get_columns(table)} == optional


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_heads() == [HEAD]


def fill(ledger: Ledger) -> None:
    """A row in every table of the first revision, through every method that writes just its columns."""
    ledger.put_plan("p1", schema="plan/1", content="{}", at=T0)
    ledger.add_run(a_run(plan_id="p1", labels={"team": "a"}))
    ledger.set_state("rlcef-1", "running", at=at(1))
    ledger.intend(a_machine(), at=at(1))
    ledger.mark_live(a_machine().resource_id, address="1:1", at=at(2))
    with ledger.engine.begin() as connection:
        connection.execute(text(COST))
    ledger.record_event("rlcef-1", "launch", "m", event_id="e", at=at(2))
    ledger.record_reports("rlcef-1", a_batch(1, of=2, at=at(3), reward=0.5, rollout_seconds=1.5))


def contents(store: Store) -> dict[str, list[Any]]:
    """Every table of the first revision, by its first columns."""
    with store.engine.connect() as connection:
        return {
            table: [
                tuple(map(str, found))
                for found in connection.execute(text(f"SELECT {names} FROM {table} ORDER BY 1, 2"))
            ]
            for table, row in ROWS.items()
            for names in [", ".join(f'"{field.name}"' for field in fields(row) if field.name not in ADDED)]
        }


def at_first_revision(url: str) -> Store:
    store = Store(parse_url(url), wait_seconds=5, now=lambda: T0)
    store.write(lambda connection: upgrade(connection, "", "0006"))
    return store


def add_next(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "pass") -> None:
    """What the next revision will look like."""
    copied = shutil.copytree(migrate.MIGRATIONS, folder / "100% next", ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "versions" / "r9001_next.py").write_text(NEXT.format(head=HEAD, more=more), encoding="utf-8")
    monkeypatch.setattr(migrate, "MIGRATIONS", copied)
    monkeypatch.setattr(migrate, "HEAD", "9001")


def test_an_upgrade_from_the_first_revision_keeps_everything(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_first_revision(url) as store, Ledger(parse_url(url), wait_seconds=5, now=lambda: T0) as old:
        fill(old)
        before = contents(store)
        assert all(before.values())
    add_next(tmp_path, monkeypatch)
    with open_ledger(url) as ledger:
        assert contents(ledger) == before
        with ledger.engine.connect() as connection:
            assert connection.scalar(text("SELECT team FROM runs")) == "unknown"


def test_an_upgrade_that_fails_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(url) as ledger:
        fill(ledger)
        before = contents(ledger)
    with monkeypatch.context() as patched:
        add_next(tmp_path, patched, more="op.execute('SELECT * FROM no_such_table')")
        with pytest.raises(StateError):
            open_ledger(url)
    with open_ledger(url) as ledger:
        assert contents(ledger) == before
        assert "team" not in {column["name"] for column in inspect(ledger.engine).get_columns("runs")}


def test_a_ledger_of_a_newer_version_is_left_alone(url: str) -> None:
    with open_ledger(url) as ledger:
        fill(ledger)
        before = contents(ledger)
        with ledger.engine.begin() as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StateError, match="was written by a newer clusterctl: it has version 9999") as caught:
        open_ledger(url)
    assert "upgrade clusterctl" in str(caught.value.hint)
    assert contents(ledger) == before
    ledger.close()


def test_a_ledger_of_a_development_version_is_kept_and_a_new_one_begins(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_ledger(url) as ledger:
        fill(ledger)
        file, before = ledger.file, contents(ledger)
        with ledger.engine.begin() as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0004'"))
    if file is None:
        with pytest.raises(StateError, match="is of a development version"):
            open_ledger(url)
        return
    with open_ledger(url) as ledger:
        assert ledger.runs() == ()
    [kept] = file.parent.glob(f"{file.name}.before-????????T??????")
    assert str(kept) in caplog.text
    with Store(parse_url(str(kept)), wait_seconds=1, now=lambda: T0) as store:
        assert contents(store) == before


def test_a_database_of_another_program_is_left_alone(url: str) -> None:
    with Store(parse_url(url), wait_seconds=1, now=lambda: T0) as store:
        with store.engine.begin() as connection:
            connection.execute(text("CREATE TABLE runs (theirs TEXT)"))
        with pytest.raises(StateError, match="holds tables that aren't ours"):
            open_ledger(url)
        assert inspect(store.engine).get_table_names() == ["runs"]
