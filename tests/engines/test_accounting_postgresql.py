"""Accounts and bills on a PostgreSQL ledger: the same promises as tests/clusterctl/costs/, with this module's `url`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql import Server, running_server

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "costs"))
from test_bills import *  # noqa: F403
from test_cost_command import *  # noqa: F403
from test_focus import *  # noqa: F403
from test_questions import *  # noqa: F403

from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return server.new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with open_ledger(url, wait_seconds=5) as opened:
        yield opened
