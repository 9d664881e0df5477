"""The FOCUS export: every row keeps the specification's rules, and the rows add up to what was charged."""

from __future__ import annotations

import csv
import io
import json
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from accounting_world import Telemetry, add_charge, add_run, at

sys.path.insert(0, str(Path(__file__).parents[2] / "planners" / "costs"))
from focus_rules import breaches

from clusterctl.costs.focus_file import focus_bytes, focus_rows, write_focus
from clusterctl.costs.queries import account
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.ledger import Ledger

NODE = "node-trainer/1"
ODD = "a\"b,c;d\n'\N{SNOWMAN}"
PLAN = json.dumps({"usd": {"p50": 1500.5}, "at_least": False, "spec": {"stages": []}})
SOURCE = Telemetry(
    *(
        (NODE, str(gpu), hour, hour + 1, "rlcef-1", "trainer", None if gpu else "waiting_sandbox")
        for gpu in range(6)
        for hour in range(1000)
    )
)


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """A run over a month's end, on spot machines and in a reservation; one with an unknown price; odd labels."""
    ledger.put_plan("p1", schema="clusterctl.plan/1", content=PLAN)
    add_run(ledger, plan_id="p1", labels={"team": ODD}, hours=1000)
    place = {"region": "us-east-1", "zone": "us-east-1a", "instance-type": "p5.48xlarge", "team": ODD}
    add_charge(ledger, hours=1000, tags={**place, "capacity-type": "spot"})
    add_charge(ledger, name="sandbox/1", usd_per_hour="1.234567", hours=30, tags={"gpus": "0"})
    add_charge(ledger, name="control/1", usd_per_hour="0.10", hours=30, kind="control_plane", tags={"node": None})
    add_charge(
        ledger,
        name="block/1",
        usd_per_hour="200",
        hours=24,
        kind="reservation",
        tags={"reservation": "cr-1", "nodes": "2"},
    )
    add_charge(ledger, name="trainer/2", usd_per_hour="0", hours=12, tags={"reservation": "cr-1"})
    add_run(ledger, "odd")
    add_charge(ledger, "odd", usd_per_hour=None)
    add_charge(ledger, "odd", "egress/1", usd_per_hour="0.01", kind="egress", provider="gcp")
    return ledger


@pytest.mark.parametrize("version", ["1.2", "1.0"])
def test_it_keeps_the_rules(spent: Ledger, version: str) -> None:
    rows, left_out = focus_rows(spent, SOURCE, version)
    text = focus_bytes(rows, parquet=False).decode()
    assert list(breaches(text, version)) == []
    assert left_out == ("odd/trainer/1",)
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert sum(Decimal(row["BilledCost"]) for row in read) == account(spent, SOURCE).spend.known_usd
    assert {row["BillingPeriodStart"][:7] for row in read} == {"2026-03", "2026-04"}
    assert json.loads(read[0]["Tags"])["clusterctl.dev/node"]


def test_the_rules_find_what_is_wrong(spent: Ledger) -> None:
    text = focus_bytes(focus_rows(spent, SOURCE, "1.2")[0], parquet=False).decode()
    for good, bad, found in (
        ("Used", "Spent", "CapacityReservationStatus may not be Spent"),
        (",USD,", ",,", "BillingCurrency must not be null"),
        ("Usage-Based", "Sometimes", "ChargeFrequency may not be Sometimes"),
        ("T12:00:00Z", "T12:00:00", "is no moment in UTC"),
        ("x_RunId", "RunId", "RunId is no column of 1.2"),
        ("BilledCost", "x_BilledCost", "BilledCost (Mandatory) is missing"),
        ("us-east-1,us-east-1,", "us-east-1,,", "RegionId and RegionName are null together"),
    ):
        assert good in text
        assert any(found in breach for breach in breaches(text.replace(good, bad), "1.2")), found


def test_our_own_columns(spent: Ledger) -> None:
    rows, _ = focus_rows(spent, SOURCE, "1.2", run="rlcef-1")
    assert rows["x_PlannedCost"].sum() == Decimal("1500.5")
    assert rows["x_PlanId"].unique().to_list() == ["p1"]
    assert rows["x_Estimated"].unique().to_list() == [True]
    idle = rows.filter(pl.col("x_IdleReason") == "waiting_sandbox")
    assert idle["x_IdleCost"].sum() == idle["BilledCost"].sum() == Decimal("98.32") * 1000 / 8
    assert rows.filter(pl.col("x_Use") == "busy")["x_GpuHours"].sum() == 5000
    unused = rows.filter(pl.col("CapacityReservationStatus") == "Unused")
    assert unused["BilledCost"].sum() == 200 * 24 * Decimal("0.75")
    assert set(rows.filter(pl.col("x_Use") == "idle")["PricingCategory"]) == {"Dynamic"}


def test_files(spent: Ledger, tmp_path: Path) -> None:
    rows, _ = focus_rows(spent, SOURCE, "1.2", since=at(1), until=at(2))
    write_focus(rows, tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(rows)
    write_focus(rows, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == focus_bytes(rows, parquet=False)
    with pytest.raises(ClusterctlError, match="cannot be written"):
        write_focus(rows, tmp_path / "nowhere" / "out.csv")


@pytest.mark.parametrize("version", ["1.2", "1.0"])
def test_nothing_is_a_header(ledger: Ledger, version: str) -> None:
    rows, left_out = focus_rows(ledger, SOURCE, version)
    assert list(breaches(focus_bytes(rows, parquet=False).decode(), version)) == []
    assert (rows.height, left_out) == (0, ())
