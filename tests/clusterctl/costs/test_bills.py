"""Bills: read in every shape, matched, reconciled, kept once; a broken row is named and nothing is half imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from accounting_world import Telemetry, add_charge, add_run, at
from bill_world import BILL, TRAINER, cur_2, focus, legacy, row, write

from clusterctl.cli import main
from clusterctl.costs.focus_file import focus_rows
from clusterctl.costs.imported_bills import import_bills, reconciled
from clusterctl.costs.queries import account
from clusterctl.errors import SpecError
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Intent, ReportBatch, ReportedCost

NOW = datetime(2026, 4, 10, tzinfo=UTC)
SHAPES: dict[str, tuple[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]]] = {
    "legacy": ("cur.csv", legacy), "compressed": ("cur.csv.gz", legacy), "2.0": ("cur.csv", cur_2), "2.0 Parquet": ("cur.parquet", cur_2),
    "FOCUS 1.2": ("focus.csv", focus), "FOCUS 1.0": ("focus.csv", lambda rows: focus(rows, invoices=False)),
    "FOCUS Parquet": ("focus.parquet", focus),
}  # fmt: skip


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """One run on a machine and a sandbox node that the bill does not have; another provider's run."""
    add_run(ledger)
    add_charge(ledger)
    add_charge(ledger, name="sandbox/1", usd_per_hour="1.5", tags={"gpus": "0"})
    add_run(ledger, "elsewhere")
    add_charge(ledger, "elsewhere", provider="gcp")
    return ledger


def billed(
    ledger: Ledger, tmp_path: Path, rows: list[dict[str, Any]], name: str = "bill.csv", now: datetime = NOW
) -> tuple[str, ...]:
    return import_bills(ledger, [write(tmp_path / name, rows)], now)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_says_the_same(filled: Ledger, tmp_path: Path, shape: str) -> None:
    name, made = SHAPES[shape]
    assert billed(filled, tmp_path, made(BILL), name) == ("aws/123456789012/2026-03",)
    found = reconciled(filled)[0]
    assert found.runs.select("run", "estimated_usd", "billed_usd", "difference_usd", "missing").rows() == [
        ("rlcef-1", Decimal("199.64"), Decimal("196.256914"), Decimal("-3.383086"), ["rlcef-1/sandbox/1"])
    ]
    assert found.unmatched.select(pl.col("usd").sum()).item() == Decimal("1242.5")
    assert found.unmatched.select("address", "rows").rows() == [(None, 2), ("i-lost", 1)]


def test_a_final_bill_turns_estimates_into_what_was_billed(filled: Ledger, tmp_path: Path) -> None:
    before = account(filled, None)
    assert before.status == "estimate"
    billed(filled, tmp_path, cur_2(BILL))
    node = "node-trainer/1"
    source = Telemetry(*((node, str(gpu), 0, 1, "rlcef-1", "trainer", None) for gpu in range(8)))
    after = account(filled, source, run="rlcef-1")
    assert after.spend.usd == Decimal("196.246914") + Decimal("0.01") + 3
    assert after.status == "partly billed", "the sandbox node is not on the bill"
    rows = after.parts.select("resource", "use", "usd", "status", "source").sort("usd", descending=True).rows()
    assert rows == [
        ("rlcef-1/trainer/1", "busy", Decimal("98.123457"), "billed", "invoice INV-7 of aws"),
        ("rlcef-1/trainer/1", "unmeasured", Decimal("98.123457"), "billed", "invoice INV-7 of aws"),
        ("rlcef-1/sandbox/1", "sandbox", Decimal(3), "estimate", "AWS list price"),
        (
            "arn:aws:ec2:us-east-1:123456789012:volume/vol-1",
            "storage",
            Decimal("0.01"),
            "billed",
            "invoice INV-7 of aws",
        ),
    ]
    billed(filled, tmp_path, cur_2([*BILL, row("i-rlcef-1/sandbox/1", "2.9")]))
    assert account(filled, None, run="rlcef-1").status == "billed"
    assert account(filled, None, run="elsewhere").status == "estimate"
    half = account(filled, None, run="rlcef-1", since=at(1)).spend.usd
    assert half == Decimal("98.123457") + Decimal("1.45") + Decimal("0.005"), (
        "a window of a billed charge is its share of it"
    )


def test_an_unfinished_month_is_shown_and_changes_nothing(filled: Ledger, tmp_path: Path) -> None:
    billed(filled, tmp_path, cur_2([given | {"invoice": ""} for given in BILL]))
    assert reconciled(filled)[0].bill.invoice is None
    assert account(filled, None).status == "estimate"
    billed(filled, tmp_path, focus(BILL, invoices=False), now=datetime(2026, 3, 20, tzinfo=UTC))
    assert account(filled, None).status == "estimate"


def test_twice_is_once_and_a_new_delivery_replaces(filled: Ledger, tmp_path: Path) -> None:
    assert billed(filled, tmp_path, cur_2(BILL))
    lines = reconciled(filled)
    assert billed(filled, tmp_path, cur_2(BILL)) == ()
    assert billed(filled, tmp_path, legacy(list(reversed(BILL))), "other.csv") == (), (
        "the same content in another shape and order"
    )
    assert reconciled(filled)[0].bill == lines[0].bill
    assert billed(filled, tmp_path, cur_2(TRAINER)) == ("aws/123456789012/2026-03",)
    assert reconciled(filled)[0].unmatched.is_empty()
    filled.drop_bill("aws/123456789012/2026-03")
    assert reconciled(filled) == ()
    assert account(filled, None).status == "estimate"
    with pytest.raises(SpecError, match="no bill is called"):
        filled.drop_bill("aws/123456789012/2026-03")


def test_parts_of_one_delivery_and_months(filled: Ledger, tmp_path: Path) -> None:
    april = row(
        "i-rlcef-1/trainer/1",
        "5",
        period_from="2026-04-01T00:00:00Z",
        period_to="2026-05-01T00:00:00Z",
        from_at="2026-04-01T00:00:00Z",
        to_at="2026-04-01T01:00:00Z",
    )
    files = [write(tmp_path / f"{number}.csv", cur_2([given])) for number, given in enumerate([*BILL, april])]
    assert set(import_bills(filled, files, NOW)) == {"aws/123456789012/2026-03", "aws/123456789012/2026-04"}
    assert account(filled, None, run="rlcef-1").spend.usd == Decimal("196.246914") + Decimal("0.01") + 3 + 5


def test_savings_plans_and_reservations_count_at_their_share(filled: Ledger, tmp_path: Path) -> None:
    machine = "i-rlcef-1/trainer/1"
    billed(
        filled,
        tmp_path,
        cur_2(
            [
                row(machine, "100", item="SavingsPlanCoveredUsage", savings_usd="60"),
                row(machine, "-100", item="SavingsPlanNegation"),
                row(machine, "0", item="DiscountedUsage", reserved_usd="12.5"),
                row(machine, "-2.5", item="Credit"),
            ]
        ),
    )
    assert reconciled(filled)[0].runs.filter(pl.col("run") == "rlcef-1")["billed_usd"].item() == 70


def test_an_unknown_price_becomes_known_by_the_bill(filled: Ledger, tmp_path: Path) -> None:
    add_run(filled, "unpriced")
    add_charge(filled, "unpriced", usd_per_hour=None)
    assert account(filled, None, run="unpriced").spend.usd is None
    billed(filled, tmp_path, cur_2([row("i-unpriced/trainer/1", "42")]))
    assert account(filled, None, run="unpriced").spend.usd == 42


def test_what_was_billed_is_no_estimate_in_focus(filled: Ledger, tmp_path: Path) -> None:
    billed(filled, tmp_path, cur_2(BILL))
    rows, _ = focus_rows(filled, Telemetry(), "1.2", run="rlcef-1")
    told = (
        rows.group_by("x_Estimated", "InvoiceId", "BillingAccountId")
        .agg(pl.col("BilledCost").sum())
        .sort("x_Estimated")
        .rows()
    )
    assert told == [(False, "INV-7", "123456789012", Decimal("196.256914")), (True, None, "clusterctl", Decimal(3))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"usd": "lots"}, "bill.csv:3: line_item_unblended_cost: `lots` is no amount"),
        ({"usd": ""}, "bill.csv:3: line_item_unblended_cost: is missing"),
        ({"savings_usd": "x"}, "bill.csv:3: savings_plan_savings_plan_effective_cost: `x` is no amount"),
        ({"from_at": "yesterday"}, "bill.csv:3: line_item_usage_start_date: `yesterday` is no moment"),
        ({"period_to": ""}, "bill.csv:3: bill_billing_period_end_date: is missing"),
        ({"currency": "EUR"}, "bill.csv:3: line_item_currency_code: is in EUR, not USD"),
        ({"account": ""}, "bill.csv:3: bill_payer_account_id: is missing"),
    ],
)
def test_a_broken_row_is_named_and_nothing_is_imported(
    filled: Ledger, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    good = write(tmp_path / "good.csv", cur_2(BILL))
    broken = write(tmp_path / "bill.csv", cur_2([BILL[0], BILL[1] | change, *BILL[2:]]))
    with pytest.raises(SpecError) as caught:
        import_bills(filled, [good, broken], NOW)
    assert said in caught.value.message
    assert "nothing was imported" in str(caught.value.hint)
    assert filled.bills() == ()


def test_lines_are_counted_over_line_breaks_in_fields(filled: Ledger, tmp_path: Path) -> None:
    rows = cur_2([BILL[0] | {"usage": "two\nlines"}, BILL[1] | {"usd": "x"}])
    with pytest.raises(SpecError, match=r"bill.csv:4: line_item_unblended_cost: `x` is no amount"):
        billed(filled, tmp_path, rows)
    with pytest.raises(SpecError, match=r"bill.parquet:row 2: line_item_usage_type|EUR, not USD"):
        billed(filled, tmp_path, cur_2([BILL[0], BILL[1] | {"currency": "EUR"}]), "bill.parquet")


def test_what_a_job_reported_costs_what_the_bill_says(filled: Ledger, tmp_path: Path) -> None:
    """A bucket of the run, found by the run's tag: billed instead of reported, and not beside it."""
    intent = Intent(
        resource_id="rlcef-1/trainer/storage/b/GiB-months",
        run_id="rlcef-1",
        role="trainer",
        kind="storage",
        provider="aws",
        price_source="my contract",
        tags={"clusterctl.dev/unit": "GiB-months"},
    )
    report = ReportedCost(intent=intent, quantity=Decimal(2), usd_per_unit=Decimal("0.023"), usd=None, at=at(2))
    filled.record_reports("rlcef-1", ReportBatch(from_byte=0, to_byte=1, costs=(report,), since=at(0)))
    bucket = row("b", "0.04", service="AmazonS3", usage="TimedStorage-ByteHrs", tags={"clusterctl.dev/run": "rlcef-1"})
    billed(filled, tmp_path, cur_2([*TRAINER, bucket]))
    assert reconciled(filled)[0].runs["missing"].to_list() == [["rlcef-1/sandbox/1"]]
    parts = account(filled, None, run="rlcef-1").parts.filter(pl.col("use") == "storage")
    assert parts.select("resource", "usd", "usd_per_hour", "quantity", "unit", "status").rows() == [
        (intent.resource_id, Decimal("0.04"), None, 2.0, "GiB-months", "billed")
    ]


def test_files_that_are_no_bills(filled: Ledger, tmp_path: Path) -> None:
    whole = write(tmp_path / "bill.csv", cur_2(BILL)).read_text()
    lines = whole.splitlines()
    for content, said in (
        ("", "is no whole CSV"),
        ("a,b\n1,2\n", "has no column bill_payer_account_id"),
        (lines[0] + "\n", "holds no rows"),
        (
            whole.replace("line_item_unblended_cost", "line_item_unblended_costs"),
            "has no column line_item_unblended_cost; is it `line_item_unblended_costs`?",
        ),
        ("\n".join([*lines[:2], lines[2] + ",x", *lines[3:]]), "bill.csv:3: has 16 fields, the header 15"),
        (lines[0] + "\n" + lines[1][:90] + "\n", "is missing"),
        (whole.replace("{}", "[1]", 1), "is no JSON object"),
    ):
        (tmp_path / "bill.csv").write_text(content)
        with pytest.raises(SpecError) as caught:
            import_bills(filled, [tmp_path / "bill.csv"], NOW)
        assert said in caught.value.message
    (tmp_path / "bill.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SpecError, match="is no whole CSV or Parquet file"):
        import_bills(filled, [tmp_path / "bill.parquet"], NOW)
    with pytest.raises(SpecError, match="can't be read"):
        import_bills(filled, [tmp_path / "absent.csv"], NOW)


def test_the_command(
    filled: Ledger, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTERCTL_LEDGER", url)
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    file = str(write(tmp_path / "bill.csv", cur_2(BILL)))

    def told(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["bill", *arguments])
        assert ended.value.code == 0
        out: str = capsys.readouterr().out
        return out

    assert (
        told("import", file)
        == """\
aws/123456789012/2026-03   invoice INV-7

  run      estimated   billed  difference
  rlcef-1    $199.64  $196.26      −$3.38  −1.7%
  total      $199.64  $196.26      −$3.38  −1.7%
  estimated, and not on the bill (1): rlcef-1/sandbox/1

  on the bill, and of no run here: $1,242.50 in 3 rows
    AmazonS3 TimedStorage-ByteHrs   -       $1,235.00
    AmazonEC2 BoxUsage:p5.48xlarge  i-lost      $7.50

"""
    )
    assert told("import", file) == ""
    found = json.loads(told("show", "--json"))
    assert (found[0]["status"], found[0]["unmatched_usd"][:7]) == ("final", "1242.50")
    assert found[0]["runs"][0]["missing"] == ["rlcef-1/sandbox/1"]
    assert told("remove", "aws/123456789012/2026-03") == ""
    assert told("show") == ""
