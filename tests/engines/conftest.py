"""Tests that need a real engine run only when this folder is named: `make test-engines`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "clusterctl" / "ledger"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest` and `pytest tests` leave this folder out."""
    named = any(Path(argument.partition("::")[0]).absolute().is_relative_to(HERE) for argument in config.args)
    return None if named or not collection_path.is_relative_to(HERE) else True
