"""The ledger in PostgreSQL keeps the promises of tests/clusterctl/ledger/, and those that only a server can break."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import psycopg
import pytest
from ledger_world import a_machine, a_run, at
from postgresql import PASSWORD, Server, running_server
from test_ledger_costs import *  # noqa: F403 - the same promises, with this module's `url`
from test_ledger_factors import *  # noqa: F403
from test_ledger_migrations import *  # noqa: F403
from test_ledger_processes import *  # noqa: F403
from test_ledger_processes import CHILDREN
from test_ledger_records import *  # noqa: F403
from test_run_search import *  # noqa: F403

from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.locks import LockHeldError, run_lock


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return server.new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with open_ledger(url, wait_seconds=30) as opened:
        yield opened


def test_a_server_that_comes_back_is_found_again(server: Server, ledger: Ledger) -> None:
    ledger.add_run(a_run())
    ledger.intend(a_machine(), at=at(0))
    ledger.mark_live(a_machine().resource_id, address="1:1", at=at(0))
    stopping = threading.Thread(target=lambda: (time.sleep(0.3), server.stop(), time.sleep(0.5), server.start()))
    stopping.start()
    number = 0
    while stopping.is_alive():
        number += 1
        ledger.record_event("rlcef-1", "k", "m", event_id=f"{number}")
        ledger.extend_cost(a_machine().resource_id, until=at(number))
    stopping.join()
    assert [event.event_id for event in ledger.events("rlcef-1")] == [f"{n + 1}" for n in range(number)]
    assert ledger.bill("rlcef-1").lines[0].seconds == number


def test_a_server_that_stays_away(server: Server, url: str) -> None:
    with open_ledger(url, wait_seconds=0.3) as ledger:
        ledger.add_run(a_run())
        server.stop()
        calls: list[Callable[[], object]] = [
            lambda: ledger.record_event("rlcef-1", "k", "m", event_id="x"),
            ledger.runs,
            lambda: open_ledger(url, wait_seconds=0.1),
        ]
        try:
            for call in calls:
                with pytest.raises(StateError, match="can't be reached") as caught:
                    call()
                assert "nothing that was recorded is lost" in str(caught.value.hint)
        finally:
            server.start()
        assert [run.run_id for run in ledger.runs()] == ["rlcef-1"]
        ledger.record_event("rlcef-1", "k", "m", event_id="x")
        assert len(ledger.events("rlcef-1")) == 1


def test_a_lock_that_the_server_lost_is_noticed(server: Server, ledger: Ledger) -> None:
    with run_lock(ledger, "rlcef-1", "up") as check:
        server.stop()
        server.start()
        ledger.runs()  # the ledger itself is there again
        for _ in range(2):
            with pytest.raises(StateError, match="can't be reached"):
                check()
        with run_lock(ledger, "rlcef-1", "up"):
            pass
    with run_lock(ledger, "rlcef-1", "up"):
        pass


def test_a_wrong_password_is_refused_and_not_repeated(server: Server, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    right = f"postgresql://clara:{PASSWORD}@127.0.0.1:{server.port}/{database}"
    with open_ledger(right) as ledger:
        ledger.add_run(a_run())
        assert PASSWORD not in ledger.where + repr(ledger) + repr(ledger.engine)
    cases = {
        right.replace(PASSWORD, f"{PASSWORD}x"): "refuses this user or password",
        right.replace("clara:", "nobody:"): "refuses this user or password",
        right.replace(database, "no_such_database"): "does not exist",
    }
    for wrong, words in cases.items():
        with pytest.raises(StateError, match=words) as caught:
            open_ledger(wrong)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_user_who_may_not_write(server: Server, url: str) -> None:
    with open_ledger(url) as ledger:
        ledger.add_run(a_run())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    try:
        with open_ledger(url.replace("clara@", "reader@")) as reader:
            assert len(reader.runs()) == 1
            with pytest.raises(StateError, match="may not be written"):
                reader.set_desired("rlcef-1", "down")
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_the_lock_dies_with_its_session(url: str, ledger: Ledger) -> None:
    """The server ends the session as it would for a machine that no longer answers."""
    with subprocess.Popen(
        [sys.executable, str(CHILDREN), "hold", url, "rlcef-1"], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = owner.stdout.readline().strip()
        with pytest.raises(LockHeldError, match=f"process {pid} on "), run_lock(ledger, "rlcef-1", "up"):
            pytest.fail("two owners")
        with psycopg.connect(url, autocommit=True) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
            connection.execute(query, [f"clusterctl process {pid} on %"])
        with run_lock(ledger, "rlcef-1", "up", wait_seconds=5):
            pass
        owner.kill()
