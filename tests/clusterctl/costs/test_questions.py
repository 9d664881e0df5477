"""What commands and dashboard ask: the answers agree with the ledger's own bill."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from accounting_world import T0, Telemetry, add_charge, add_run, at

from clusterctl.costs.load import read_charges
from clusterctl.costs.queries import account
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import ReportBatch, Step
from clusterctl.plan_service import Planner, open_source
from clusterctl.runs.run_forecast import hourly_rate, run_forecast, run_progress, usage
from clusterctl.specfile.plan_file import parse_plan
from planners.costs.cost_tables import CHARGES
from planners.costs.spend import by
from planners.plan.value import Plan
from planners.runs.limits import planned_rate

NODE = "node-trainer/1"


@pytest.fixture(scope="module")
def plan() -> Plan:
    spec = Path(__file__).parents[3] / "templates" / "specs" / "quickstart.yaml"
    return Planner(now=datetime(2026, 11, 23, tzinfo=UTC)).plan(open_source(str(spec)))


def do_step(ledger: Ledger, number: int, *, of: int, at: datetime) -> None:
    step = Step(run_id="rlcef-1", stage="rlcef", step=number, of=of, at=at, metrics={})
    ledger.record_reports("rlcef-1", ReportBatch(steps=(step,), since=T0))


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


def test_the_rate_is_the_sum_over_what_lives_now(ledger: Ledger) -> None:
    add_run(ledger)
    add_charge(ledger, live=True)
    add_charge(ledger, name="trainer/2")
    assert hourly_rate(ledger).usd_per_hour == Decimal("98.32")
    add_charge(ledger, name="trainer/3", usd_per_hour=None, live=True)
    unknown = hourly_rate(ledger, "rlcef-1")
    assert (unknown.usd_per_hour, unknown.known_usd_per_hour) == (None, Decimal("98.32"))
    assert unknown.unpriced == ("rlcef-1/trainer/3",)
    assert hourly_rate(ledger, "nobody").usd_per_hour == 0


def test_three_nodes_cost_three_prices_and_their_hours_count_once(ledger: Ledger) -> None:
    """From 0 to 2 h, from 0 to 1 h, from 1.5 to 3 h: 3 hours of the run, 4.5 of nodes."""
    add_run(ledger, state="running", ended_at=None)
    add_charge(ledger, name="node/1", usd_per_hour="2", hours=2, live=True)
    add_charge(ledger, name="node/2", usd_per_hour="2", hours=1)
    third = add_charge(ledger, name="node/3", usd_per_hour="2", hours=0, live=True, begins=1.5)
    ledger.extend_cost(third, until=at(3))
    used = usage(ledger, "rlcef-1")
    assert (used.hours, used.usd) == (3, 9)
    assert ledger.bill("rlcef-1").usd == 9
    assert hourly_rate(ledger, "rlcef-1").usd_per_hour == 4


def test_the_rate_of_a_plan_is_that_of_all_its_nodes(plan: Plan) -> None:
    (pool,) = plan.pools
    three = plan.model_copy(update={"pools": (pool.model_copy(update={"nodes": 3}),)})
    assert planned_rate(three).usd_per_hour == Decimal("0.24")
    other = pool.model_copy(update={"id": "other", "usd_per_node_hour": None})
    unknown = planned_rate(plan.model_copy(update={"pools": (*three.pools, other)}))
    assert (unknown.usd_per_hour, unknown.known_usd_per_hour, unknown.unpriced) == (None, Decimal("0.24"), ("other",))
    later = pool.model_copy(update={"stage": "later", "nodes": 2})
    both = plan.model_copy(update={"pools": (*three.pools, later)})
    assert planned_rate(both).usd_per_hour == Decimal("0.24"), "stages come one after the other"
    assert planned_rate(both, "later").usd_per_hour == Decimal("0.16")


def test_the_forecast_of_a_run(ledger: Ledger, plan: Plan) -> None:
    run = add_run(ledger, state="running", ended_at=None, limit_usd=Decimal("0.01"))
    add_charge(ledger, usd_per_hour="0.08", hours=10 / 3600, live=True)
    for step in range(1, 5):
        do_step(ledger, step, of=40, at=T0 + timedelta(seconds=2 + 2 * step))
    now = T0 + timedelta(seconds=10)
    (stage,) = run_progress(ledger, run, plan, now).stages
    assert (stage.steps, stage.done, stage.seen_seconds) == (40, 4, [2.0, 2.0, 2.0])
    spent = account(ledger, None, run="rlcef-1").spend.known_usd
    found = run_forecast(ledger, run, plan, now)
    assert found.usd is not None
    assert found.left_usd is not None
    assert found.spent.usd == spent
    assert float(found.usd.p50) == pytest.approx(float(spent) + 36 * 1.95 / 3600 * 0.08, rel=0.05)
    assert found.usd.p10 < found.usd.p50 < found.usd.p90
    assert found.left_usd == Decimal("0.01") - spent
    assert found.limit_at == now + timedelta(microseconds=int(found.left_usd / Decimal("0.08") * 3_600_000_000))
    ledger.set_state("rlcef-1", "stopped", at=at(1))
    over = run_forecast(ledger, ledger.get_run("rlcef-1"), plan, at(1))
    assert over.usd is not None
    assert {over.usd.p10, over.usd.p90} == {spent}
    more = run_forecast(ledger, ledger.get_run("rlcef-1"), plan, at(1), goes_on=True)
    assert more.usd_at_end is not None
    assert more.usd_at_end > spent


def test_steps_during_which_a_machine_started_say_nothing_of_the_pace(ledger: Ledger, plan: Plan) -> None:
    run = add_run(ledger, state="running", ended_at=None)
    add_charge(ledger, name="node/1", hours=0.001)
    for step, seconds in enumerate((2, 4, 6, 908, 910), 1):
        do_step(ledger, step, of=40, at=T0 + timedelta(seconds=seconds))
    add_charge(ledger, name="node/2", hours=0.3, live=True, begins=900 / 3600)
    now = T0 + timedelta(seconds=910)
    (stage,) = run_progress(ledger, run, plan, now).stages
    assert stage.seen_seconds == [2.0, 2.0, 2.0]


def test_a_job_may_report_a_unit_of_work_in_several_steps(ledger: Ledger, plan: Plan) -> None:
    """Half of the 40 planned steps at a time: one of the job's steps is 20 of the plan's."""
    run = add_run(ledger, state="running", ended_at=None)
    add_charge(ledger, live=True)
    do_step(ledger, 1, of=2, at=T0)
    (stage,) = run_progress(ledger, run, plan, T0).stages
    assert stage.step_seconds.p50 == pytest.approx(20 * plan.stages[0].seconds_per_unit.p50)
    ahead = run_forecast(ledger, run, plan, T0)
    assert ahead.seconds_left is not None
    assert ahead.seconds_left.p50 == pytest.approx(20 * plan.stages[0].seconds_per_unit.p50)


def test_a_stored_plan_can_be_read_again(plan: Plan) -> None:
    content = json.loads(plan.model_dump_json(exclude={"created_at"})) | {"created_at": T0.isoformat()}
    assert parse_plan(json.dumps(content), name="it").id == plan.id
