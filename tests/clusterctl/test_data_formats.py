"""JSON and CSV as every command writes them."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.json_text import json_text
from clusterctl.ui.csv_text import csv_text

REPO = Path(__file__).resolve().parents[2]
OWN_JSON = {
    "clusterctl/json_text.py",
    "clusterctl/sandbox/sandbox_server.py",  # whole numbers and text
    "clusterctl/specfile/manual.py",  # a schema, to search in
    "clusterctl/targets/rank.py",  # started by path on a node: it imports nothing of ours
    "clusterctl/targets/sky_worker.py",  # started by path, in SkyPilot's own environment
    "clusterctl/store/promql.py",  # a string of PromQL
    "clusterctl/telemetry/__init__.py",  # imports nothing, so that any job can call it; its reader refuses NaN
    "clusterctl/ui/streams.py",  # one character
}
TREES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.decimals() | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(TREES)
def test_json_holds_no_constant_that_is_no_json(tree: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for indent in (None, 2):
        json.loads(json_text(tree, indent=indent), parse_constant=refuse)


def test_a_number_that_is_none_is_null() -> None:
    assert (
        json_text({"a": [math.nan, -math.inf, 1.5], "b": (2, math.inf)}) == '{"a": [null, null, 1.5], "b": [2, null]}'
    )
    at = datetime(2026, 5, 4, 3, tzinfo=UTC)
    assert json.loads(json_text([at, date(2026, 5, 4), Decimal("1.50"), b"\xff", Path("x")])) == [
        "2026-05-04T03:00:00+00:00",
        "2026-05-04",
        "1.50",
        "\ufffd",
        "x",
    ]


def test_json_is_written_by_one_function() -> None:
    """So that no command can print NaN; `infra` imports nothing of the shell, and prints nothing itself."""
    files = [file for folder in ("clusterctl", "app") for file in (REPO / folder).rglob("*.py")]
    found = {str(file.relative_to(REPO)) for file in files if re.search(r"\bjson\.dumps?\(", file.read_text("utf-8"))}
    assert found <= OWN_JSON


def test_csv_is_written_by_one_function() -> None:
    """So that no export runs as a formula; a digest is none."""
    files = [file for folder in ("clusterctl", "app", "infra") for file in (REPO / folder).rglob("*.py")]
    found = {file.name for file in files if ".write_csv(" in file.read_text("utf-8")}
    assert found == {"csv_text.py", "imported_bills.py"}


@pytest.mark.parametrize("begin", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\tx", "\rx", "\nx", "＝1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(begin: str) -> None:
    read = pl.read_csv(csv_text(pl.DataFrame({"text": [begin, "plain"]})).encode(), infer_schema=False)
    assert read["text"].to_list() == [f"'{begin}", "plain"]


def test_numbers_stay_numbers_and_unknown_is_empty() -> None:
    rows = pl.DataFrame({"text": ["5", "a-b", "-", None], "usd": [-1.5, math.nan, math.inf, 2.0]})
    assert csv_text(rows) == "text,usd\n5,-1.5\na-b,\n'-,\n,2.0\n"
