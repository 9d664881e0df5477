"""What commands and dashboard ask: the answers agree with the ledger's own bill."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from accounting_world import T0, Telemetry, add_charge, add_run, at

from clusterctl.costs.load import read_charges
from clusterctl.costs.queries import account, burn, outlook, progress
from clusterctl.ledger.ledger import Ledger
from clusterctl.plan_service import Planner, open_source
from clusterctl.specfile.plan_file import parse_plan
from planners.costs.summary import by
from planners.costs.tables import CHARGES
from planners.plan.value import Plan

NODE = "node-trainer/1"


@pytest.fixture(scope="module")
def plan() -> Plan:
    spec = Path(__file__).parents[3] / "templates" / "specs" / "quickstart.yaml"
    return Planner(now=datetime(2026, 11, 23, tzinfo=UTC)).plan(open_source(str(spec)))


def test_charges_are_the_ledgers_own_bill(ledger: Ledger) -> None:
    add_run(ledger)
    trainer = add_charge(ledger, tags={"capacity-type": "spot", "reservation": "cr-1"})
    ledger.set_price(trainer, Decimal("98.32"), source="AWS list price")
    add_charge(ledger, name="sandbox/1", usd_per_hour=None, tags={"gpus": "0", "node": None})
    charges = read_charges(ledger)
    assert charges.schema == CHARGES
    assert charges["usd"].to_list() == [None, Decimal("196.64")]
    assert charges.select("team", "node", "gpus", "capacity_type", "reservation", "from_at", "to_at").rows() == [
        ("ml", "i-rlcef-1/sandbox/1", 0, None, None, T0, at(2)),
        ("ml", NODE, 8, "spot", "cr-1", T0, at(2)),
    ]
    assert charges["usd"].sum() == ledger.bill("rlcef-1").known_usd


def test_idle_dollars_by_reason_and_what_could_not_be_read(ledger: Ledger) -> None:
    add_run(ledger)
    add_charge(ledger)
    source = Telemetry(
        *((NODE, str(gpu), 0, 1, "rlcef-1", "trainer", None) for gpu in range(8)),
        *((NODE, str(gpu), 1, 2, "rlcef-1", "trainer", "waiting_sandbox") for gpu in range(4)),
    )
    found = account(ledger, source)
    assert found.problems == ("2026/03/01/seg-1.parquet: not a Parquet file",)
    assert by(found.parts, "use", "reason").select("use", "reason", "usd").rows() == [
        ("busy", None, Decimal("98.32")),
        ("idle", "waiting_sandbox", Decimal("49.16")),
        ("unmeasured", None, Decimal("49.16")),
    ]
    assert source.asked[0]["step_seconds"] == 10
    assert account(ledger, None).spend.usd == found.spend.usd == Decimal("196.64")


def test_one_run_and_a_window(ledger: Ledger) -> None:
    for run in ("a", "b"):
        add_run(ledger, run)
        add_charge(ledger, run, usd_per_hour="10")
    assert account(ledger, None, run="a").spend.usd == 20
    assert account(ledger, None, since=at(1.5)).spend.usd == 10
    assert account(ledger, None, until=at(0.5), run="b").spend.usd == 5
    assert account(ledger, None, since=at(9)).spend.usd == 0
    assert account(ledger, None, run="nobody").spend.usd == 0


def test_labels_hold_any_character(ledger: Ledger) -> None:
    team = "a\"b,c;d\n'$.x\N{SNOWMAN}]["
    add_run(ledger, labels={"team": team, "$['x']": "y"})
    add_charge(ledger)
    assert by(account(ledger, None).parts, "team")["team"].to_list() == [team]


def test_burn_is_what_lives_now(ledger: Ledger) -> None:
    add_run(ledger)
    add_charge(ledger, live=True)
    add_charge(ledger, name="trainer/2")
    assert burn(ledger).usd_per_hour == Decimal("98.32")
    add_charge(ledger, name="trainer/3", usd_per_hour=None, live=True)
    unknown = burn(ledger, run="rlcef-1")
    assert (unknown.usd_per_hour, unknown.known_usd_per_hour) == (None, Decimal("98.32"))
    assert unknown.unpriced == ("rlcef-1/trainer/3",)
    assert burn(ledger, run="nobody").usd_per_hour == 0


def test_the_outlook_of_a_run(ledger: Ledger, plan: Plan) -> None:
    run = add_run(ledger, state="running", ended_at=None, limit_usd=Decimal("0.01"))
    add_charge(ledger, usd_per_hour="0.08", hours=10 / 3600, live=True)
    for step in range(1, 5):
        ledger.record_step("rlcef-1", "rlcef", step, of=40, at=T0 + timedelta(seconds=2 + 2 * step), metrics={})
    stage = progress(plan, ledger.steps("rlcef-1"))[0]
    assert (stage.units, stage.done, stage.unit_seconds) == (40, 4, [2.0, 2.0, 2.0])
    spent = account(ledger, None, run="rlcef-1").spend.known_usd
    found = outlook(ledger, run, plan, spent, at(0))
    assert found.forecast is not None
    assert found.runway is not None
    assert float(found.forecast.p50) == pytest.approx(float(spent) + 36 * 1.95 / 3600 * 0.08, rel=0.05)
    assert found.forecast.p10 < found.forecast.p50 < found.forecast.p90
    assert found.runway.left_usd == Decimal("0.01") - spent
    assert found.runway.at == T0 + timedelta(microseconds=int(found.runway.left_usd / Decimal("0.08") * 3_600_000_000))
    ledger.set_state("rlcef-1", "stopped", at=at(1))
    over = outlook(ledger, ledger.get_run("rlcef-1"), plan, spent, at(1))
    assert over.forecast is not None
    assert {over.forecast.p10, over.forecast.p90} == {spent}


def test_a_stored_plan_can_be_read_again(plan: Plan) -> None:
    content = json.loads(plan.model_dump_json(exclude={"created_at"})) | {"created_at": T0.isoformat()}
    assert parse_plan(json.dumps(content), name="it").id == plan.id
