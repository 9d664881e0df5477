"""Files that the agent writes without polars are what polars reads with the tables' own types."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest

from clusterctl.telemetry.parquet import to_parquet
from planners.telemetry.tables import TABLES, schema

AT = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)
AT_MS = 1_777_896_000_250


@pytest.mark.parametrize("table", TABLES)
def test_a_file_has_the_columns_and_types_of_its_table(table: str) -> None:
    frame = pl.read_parquet(io.BytesIO(to_parquet(table, [{"at": AT_MS, "node": "n"}])))
    assert frame.schema == schema(table)
    assert frame.row(0, named=True) == dict.fromkeys(TABLES[table]) | {"at": AT, "node": "n"}


def test_absent_stays_absent_and_whole_numbers_are_rounded() -> None:
    rows = [{"at": AT_MS, "node": "n", "energy_j": 7.6, "power_w": 0, "seconds": 0.5}, {"at": AT_MS, "node": "n"}]
    frame = pl.read_parquet(io.BytesIO(to_parquet("gpu", rows)))
    assert frame["energy_j"].to_list() == [8, None]
    assert frame["power_w"].to_list() == [0, None]
    assert frame["seconds"].to_list() == [0.5, None]


@pytest.mark.parametrize("value", [-1, 70000, float("nan"), 4294967.295])
def test_a_number_that_does_not_fit_is_absent(value: float) -> None:
    frame = pl.read_parquet(io.BytesIO(to_parquet("gpu", [{"at": AT_MS, "node": "n", "power_w": value}])))
    assert frame["power_w"].to_list() == [None]


def test_writing_imports_no_polars() -> None:
    code = "import sys; from clusterctl.telemetry.parquet import to_parquet; to_parquet('host', [{'at': 1}]); sys.exit('polars' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
