from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with open_ledger(url, wait_seconds=2) as opened:
        yield opened
