"""What people and machines leave behind: one clear message, and the rest is still shown."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from dashboard_pages import PAGES, OpenPage, figures, words
from sqlalchemy import func, select

from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger_tables import RUNS
from clusterctl.ledger.rows import Intent, Run
from clusterctl.ledger.store import values_of

NOW = datetime.now(tz=UTC)
ODD = "a**b**`c`$1$<script>alert(1)</script>[x](javascript:alert(1)):red[y]"


def add_run(home: Path, run_id: str, **more: object) -> None:
    with open_ledger(str(home / "ledger.db")) as ledger:
        ledger.add_run(Run(run_id=run_id, name=run_id, target="local", created_at=NOW, **more))  # type: ignore[arg-type]
        intent = Intent(
            resource_id=f"{run_id}/node",
            run_id=run_id,
            role="node",
            kind="machine",
            provider="local",
            usd_per_hour=Decimal("0.08"),
            price_source=ODD,
        )
        ledger.intend(intent, at=NOW)
        ledger.mark_live(intent.resource_id, address="here", at=NOW)


def test_an_empty_store_breaks_no_page(open_page: OpenPage) -> None:
    for page in PAGES:
        app = open_page(page)
        assert [error.message for error in app.exception] == [], page
        assert [warning.value for warning in app.warning] == [], page


def test_an_empty_store_says_what_to_do_next(open_page: OpenPage) -> None:
    app = open_page()
    assert "clusterctl up quickstart.yaml" in "\n".join(code.value for code in app.code)


def test_a_run_that_the_ledger_does_not_know(open_page: OpenPage) -> None:
    app = open_page("overview", data="simulated", run="nosuch")
    assert [warning.value.split("\n")[0] for warning in app.warning] == ["no run is called \\`nosuch\\`"]
    assert "Spent" in figures(app), "the newest run is shown"


def test_names_and_labels_of_any_character(open_page: OpenPage, home: Path) -> None:
    add_run(home, ODD, labels={"team": ODD})
    for page in PAGES:
        app = open_page(page)
        assert [error.message for error in app.exception] == [], page
        shown = words(app)
        assert "<script>" not in shown, page
        assert ODD not in shown, f"{page}: it is escaped"


def test_a_corrupt_segment_is_named_and_the_rest_shown(open_page: OpenPage, home: Path) -> None:
    batches = sorted((home / "sample" / "telemetry").rglob("gpu/**/*.parquet"))
    batches[3].write_bytes(b"PAR1 this is no parquet PAR1")
    app = open_page("overview", data="simulated")
    assert [error.message for error in app.exception] == []
    assert any(batches[3].name.replace("-", "\\-").replace(".", "\\.") in warning.value for warning in app.warning)
    assert "Paid for idle GPUs" in figures(app)


def test_a_damaged_ledger_is_one_message(open_page: OpenPage, home: Path) -> None:
    (home / "ledger.db").write_bytes(b"this is no database at all, whatever it says" * 100)
    app = open_page()
    assert [error.message for error in app.exception] == []
    assert len(app.warning) == 1
    assert "is damaged" in app.warning[0].value


def test_a_hundred_thousand_runs(open_page: OpenPage, home: Path) -> None:
    first = Run(run_id="run-000000", name="run-000000", target="local", state="finished", created_at=NOW)
    columns = [*values_of(first)]
    name, day = "printf('run-%06d', i)", "printf('2026-01-%02d 00:00:00.000000', 1 + i % 28)"
    chosen = [{"run_id": name, "name": name, "created_at": day}.get(column, column) for column in columns]
    more = f"""INSERT INTO runs ({", ".join(columns)})
        WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 99999)
        SELECT {", ".join(chosen)} FROM numbers, (SELECT * FROM runs)"""
    with open_ledger(str(home / "ledger.db")) as ledger:
        ledger.add_run(first)
        ledger.write(lambda connection: connection.exec_driver_sql(more) and None)
        counted = select(func.count()).select_from(RUNS)
        assert ledger.transact(lambda connection: connection.scalar(counted)) == 100_000
    started = time.process_time()
    app = open_page(run="run-077777")
    assert time.process_time() - started < 10.0, "a page does not read all runs"
    assert [error.message for error in app.exception] == []
    assert len(app.selectbox[0].proto.options) == 52, "the picker lists the newest; any other is typed"
    assert "run\\-077777" in words(app)
    for asked in ({}, {"text": "77777"}, {"state": "finished", "page": "3000"}):
        started = time.process_time()
        app = open_page("runs", **asked)
        assert time.process_time() - started < 5.0, "about 0.5 s where nothing else runs"
        assert [error.message for error in app.exception] == []
        assert any("run-" in element.proto.body for element in app.get("html"))


def test_from_elsewhere_nobody_enters_without_a_login(open_page: OpenPage) -> None:
    app = open_page(address="0.0.0.0")
    assert len(app.error) == 1
    assert "has no login" in app.error[0].value
    assert len(app.metric) == 0
