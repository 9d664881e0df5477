"""Bills that can't be true, and files that aren't what their name says: refused by file and line, nothing imported."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bill_world import BILL, CUR_2, cur_2, row

from clusterctl.costs import bill_file
from clusterctl.costs.invoice_file import read_bill
from clusterctl.errors import SpecError

from datetime import UTC, datetime  # isort: skip

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def refused(file: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read_bill(file, NOW)
    assert "nothing was imported" in str(caught.value.hint) or "unpack it first" in str(caught.value.hint)
    return caught.value.message.replace(str(file), file.name)


def text_of(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"period_from": "2026-04-01T00:00:00Z", "period_to": "2026-03-01T00:00:00Z"},
            "period_end_date: `2026-03-01T00:00:00Z` is no later than the period's start",
        ),
        ({"period_to": "2026-03-01T00:00:00Z"}, "period_end_date: `2026-03-01T00:00:00Z` is no later than"),
        (
            {"period_to": "2027-03-01T00:00:00Z"},
            "period_end_date: `2027-03-01T00:00:00Z` is more than a month after the period's start",
        ),
        ({"to_at": "2026-03-01T11:59:59Z"}, "usage_end_date: `2026-03-01T11:59:59Z` is before what is billed began"),
        ({"from_at": "1970-01-01T00:00:00Z"}, "usage_start_date: `1970-01-01T00:00:00Z` is not between 2006 and 2030"),
        ({"to_at": "9999-12-31T00:00:00Z"}, "usage_end_date: `9999-12-31T00:00:00Z` is not between 2006 and 2030"),
        (
            {"from_at": "2024-03-01T00:00:00Z"},
            "usage_start_date: `2024-03-01T00:00:00Z` is more than a year before the billing period",
        ),
        (
            {"from_at": "2026-04-09T00:00:00Z", "to_at": "2026-04-10T00:00:00Z"},
            "usage_start_date: `2026-04-09T00:00:00Z` is after the billing period",
        ),
        ({"usd": "1e15"}, "unblended_cost: `1e15` is more than 1,000,000,000,000 USD"),
        ({"usd": "NaN"}, "unblended_cost: `NaN` is no amount"),
        ({"usd": "inf"}, "unblended_cost: `inf` is no amount"),
        ({"from_at": "0000-00-00"}, "usage_start_date: `0000-00-00` is no moment"),
    ],
)
def test_what_can_t_be_true_is_refused_by_line(change: dict[str, str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "bill.csv"
    file.write_text(text_of(cur_2([BILL[0], BILL[1] | change, *BILL[2:]])))
    message = refused(file)
    assert message.startswith("bill.csv:3: ")
    assert said in message


def test_late_credits_and_terms_that_are_paid_ahead_are_true(tmp_path: Path) -> None:
    file = tmp_path / "bill.csv"
    late = row("a", "-5", from_at="2025-12-30T00:00:00Z", to_at="2025-12-31T00:00:00Z")
    ahead = row("b", "90000", item="Fee", to_at="2029-03-01T00:00:00Z")
    file.write_text(text_of(cur_2([late, ahead])))
    assert read_bill(file, NOW)["usd"].sum() == 89_995


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    file, text = tmp_path / "bill.csv", text_of(cur_2(BILL))
    usd = CUR_2["usd"]
    file.write_text("".join(f"{line},{usd if not n else 7}\n" for n, line in enumerate(text.splitlines())))
    assert refused(file) == f"bill.csv:1: has the column {usd} twice"
    file.write_text(file.read_text().replace(f",{usd}\n", ",lineItem/UnblendedCost\n", 1))
    assert refused(file) == f"bill.csv: has the column {usd} in 2 spellings"
    file.write_text(",".join(f"c{n}" for n in range(3000)) + "\n")
    assert refused(file) == "bill.csv:1: has 3,000 columns, more than the 2,000 that are read"


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("usd", [True] * 6, "line_item_unblended_cost: is a column of Boolean"),
        ("usd", [[1.0]] * 6, "line_item_unblended_cost: is a column of List(Float64)"),
        ("usd", [date(2026, 3, 1)] * 6, "line_item_unblended_cost: is a column of Date"),
        ("from_at", [5] * 6, "line_item_usage_start_date: is a column of Int64"),
        ("account", [{"a": 1}] * 6, "bill_payer_account_id: is a column of Struct({'a': Int64})"),
        ("currency", [b"USD"] * 6, "line_item_currency_code: is a column of Binary"),
        ("tags", [["a"]] * 6, "resource_tags: is a column of List(String), not of tags"),
        ("tags", [1] * 6, "resource_tags: is a column of Int64, not of tags"),
        ("usd", [1.0, float("nan")] * 3, "row 2: line_item_unblended_cost: `nan` is no amount (so are 2 more)"),
        ("usd", [1.0, 1e300] * 3, "row 2: line_item_unblended_cost: `1e+300` is no amount (so are 2 more)"),
        ("period_from", [date(1, 1, 1)] * 6, "row 1: bill_billing_period_start_date: `0001-01-01` is not between"),
    ],
)
def test_parquet_with_wrong_types_is_refused(name: str, values: list[object], said: str, tmp_path: Path) -> None:
    file = tmp_path / "bill.parquet"
    rows = pl.DataFrame(cur_2(BILL)).with_columns(pl.Series(CUR_2[name], values))
    rows.write_parquet(file)
    assert said in refused(file)


def test_parquet_with_good_types_of_other_widths_is_read(tmp_path: Path) -> None:
    file = tmp_path / "bill.parquet"
    ours = pl.DataFrame(cur_2(BILL)).with_columns(
        pl.col(CUR_2["usd"]).cast(pl.Decimal(20, 10)),
        pl.col(CUR_2["from_at"]).str.to_datetime(time_unit="ns", time_zone="UTC"),
        pl.col(CUR_2["period_from"]).str.head(10).str.to_date(),
        pl.col(CUR_2["account"]).cast(pl.Int64),
        pl.col(CUR_2["service"]).cast(pl.Categorical),
    )
    ours.write_parquet(file)
    whole = read_bill(file, NOW)
    (tmp_path / "bill.csv").write_text(text_of(cur_2(BILL)))
    assert whole.equals(read_bill(tmp_path / "bill.csv", NOW))


def test_damaged_parquet_can_t_harm_this_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """These bytes made polars panic, which is no Exception and writes to stderr."""
    good = io.BytesIO()
    pl.DataFrame(cur_2(BILL)).write_parquet(good)
    content = bytearray(good.getvalue())
    for place in range(len(content) - 400, len(content) - 8, 49):
        content[place] ^= 0x55
    (tmp_path / "bill.parquet").write_bytes(content)
    assert refused(tmp_path / "bill.parquet") == "bill.parquet: is no whole CSV or Parquet file"
    assert capfd.readouterr().err == ""


def test_bombs_end_by_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, text = tmp_path / "bill.csv.gz", text_of(cur_2(BILL))
    file.write_bytes(gzip.compress(text.encode() + b" " * (40 << 20), 1))
    assert refused(file).startswith("bill.csv.gz: can't be read: unpacked it is larger than 3")
    file.write_bytes(gzip.compress(gzip.compress(text.encode())))
    assert refused(file) == "bill.csv.gz: is packed in another way than by gzip once"
    file.write_bytes(b"\x28\xb5\x2f\xfd" + text.encode())
    assert refused(file) == "bill.csv.gz: is packed in another way than by gzip once"
    file.write_bytes(gzip.compress(text.encode())[:-9])
    assert refused(file) == "bill.csv.gz: can't be read: it is cut off: its gzip has no end"
    monkeypatch.setattr(bill_file, "MAX_BYTES", 100)
    (tmp_path / "bill.csv").write_text(text)
    assert refused(tmp_path / "bill.csv") == "bill.csv: can't be read: it is larger than 0 KiB, the most that is read"
